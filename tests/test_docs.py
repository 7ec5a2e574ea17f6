"""The docs keep up with the code: every verb, flag, policy and finding is in them, and every link leads somewhere."""

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from procman.cli.options import OPTIONS, VERBS
from procman.cli.settings import LOG_FORMATS
from procman.cli.settings_files import KEYS
from procman.core.restart import NAMED

ROOT = Path(__file__).parent.parent
RUNNER = (ROOT / "docs/local-runner.md").read_text()
GENERATED = {ROOT / "docs/commands.md"}  # printed by the program: it documents everything, and explains nothing
BY_HAND = sorted(set(ROOT.glob("docs/*.md")) - GENERATED)
GUIDE = "\n".join(page.read_text() for page in BY_HAND)  # whichever page a verb belongs to
RULES = (ROOT / "docs/dyno-rules.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FLAGS = {flag for option in chain(*OPTIONS.values()) for flag in (*option.flags, *option.off)}
FINDING = re.compile(r"^\| `([a-z0-9-]+)` \| (error|warning|error or warning) \|", re.MULTILINE)
SAID = (ast.Return, ast.Yield)
HELPERS = {"warn", "error"}  # which the readers of text define for themselves
PAIR = {"code, message", "(code, message)"}  # how unparse writes it, by version of Python


def codes_in(source: str) -> Iterator[str]:
    """Every code that a module can give a Diagnostic: said in the call, by a helper, or as half of a pair."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            at = 3 if node.func.id == "Diagnostic" else 0 if node.func.id in HELPERS else None
            if at is not None and at < len(node.args):
                code = node.args[at]
                if isinstance(code, ast.Constant):
                    yield code.value
                else:
                    assert ast.unparse(code) == "code", f"this test cannot follow {ast.unparse(node)}"
        elif isinstance(node, (*SAID, ast.Assign)) and isinstance(node.value, ast.Tuple):
            first = node.value.elts[0]
            two = len(node.value.elts) == 2 and isinstance(first, ast.Constant) and isinstance(first.value, str)
            if two and (isinstance(node, SAID) or ast.unparse(node.targets[0]) in PAIR):
                yield first.value


def codes() -> set[str]:
    sources = [*ROOT.glob("procman/cli/*.py"), *ROOT.glob("procman/formats/*.py")]
    texts = [path.read_text() for path in sources]
    return {code for text in texts if "Diagnostic" in text for code in codes_in(text)}


def test_every_finding_is_documented_and_no_other():
    documented = [code for code, _ in FINDING.findall((ROOT / "docs/procfile-and-env.md").read_text())]
    assert len(documented) == len(set(documented))
    assert set(documented) == codes()


def test_the_reader_of_codes_sees_what_it_should():
    source = """
def f():
    Diagnostic(file, 1, "error", "one", "text")
    warn("two", "text")
    code, message = ("three", "text")
    Diagnostic(file, 1, "error", code, message)
    yield "four", "text"
    return "five", "text"
"""
    assert set(codes_in(source)) == {"one", "two", "three", "four", "five"}
    with pytest.raises(AssertionError):
        list(codes_in("Diagnostic(file, 1, 'error', name_of(it), 'text')"))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_section(verb):
    assert f"\n## procman {verb}\n" in GUIDE


@pytest.mark.parametrize("flag", sorted(FLAGS | {"--version", "-V", "--help", "-h"}))
def test_every_flag_is_documented(flag):
    assert f"`{flag}`" in GUIDE


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_setting_is_documented(key):
    section = RUNNER.partition("\n## Settings files\n")[2].partition("\n## ")[0]
    assert f"`{key}`" in section or key.startswith("no-")


@pytest.mark.parametrize("policy", [*NAMED, "max=N"])
def test_every_restart_policy_is_documented(policy):
    assert f"\n| `{policy}`" in RULES
    assert f"`{policy}`" in RUNNER


@pytest.mark.parametrize("log_format", LOG_FORMATS)
def test_every_log_format_is_documented(log_format):
    assert f"\n`{log_format}` is " in RUNNER


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    for target in links(page.read_text()):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(there.read_text()), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_path_of_the_machine_it_was_written_on(page):
    assert not re.search(r"(?<![\w.~…])/(tmp|home|root|work|Users)/", page.read_text())


def test_every_page_can_be_reached_from_the_readme():
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page.read_text())}
        for target in targets:
            todo += [target] if target.suffix == ".md" else target.glob("*.md") if target.is_dir() else []
    assert set(PAGES) <= reached


def links(text: str) -> list[str]:
    """Targets of links within the repository, outside of code."""
    prose = re.sub(r"(?ms)^ *```.*?^ *```$|`[^`\n]*`", "", text)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in target]


def anchors(text: str) -> set[str]:
    """GitHub's names for the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^ *```.*?^ *```$", "", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
