"""The Procfile grammar: what each line means, what is said about it, and that honcho agrees where it can."""

import pytest
from honcho.environ import parse_procfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from procman.formats import line_diagnosis
from procman.formats.procfile import parse, read_odd, read_plain

# The same examples every time, however slow the machine.
RIGOROUS = settings(deadline=None, derandomize=True, max_examples=300)

WEB = ("web", "run")

# text, processes, findings as "line severity code"
TABLE = [
    (b"web: run\n", [WEB], []),
    (b"web: run", [WEB], []),
    (b"web: run   \nworker: go\n", [WEB, ("worker", "go")], []),
    (b"web:   run\n", [WEB], []),
    (b"\n# note\n   # indented note\n\nweb: run\n", [WEB], []),
    (b"web: a=1 b=2 env : x\n", [("web", "a=1 b=2 env : x")], []),
    (b"web: run\n2nd: go\nmy_worker: go\n", [WEB, ("2nd", "go"), ("my_worker", "go")], []),
    (b"web: echo \"a # b\" '# c' d#e\n", [("web", "echo \"a # b\" '# c' d#e")], []),
    (b"web run\n", [], ["1 error missing-colon"]),
    (b"web\n", [], ["1 error missing-colon"]),
    (b"web= run\n", [], ["1 error missing-colon"]),
    (b"web:run\n", [WEB], ["1 warning no-blank"]),
    (b"web : run\n", [WEB], ["1 warning blank-before-colon"]),
    (b"  web: run\n", [WEB], ["1 warning indentation"]),
    (b"\tweb: run\n", [WEB], ["1 warning indentation", "1 warning tab"]),
    (b"web:\trun\n", [WEB], ["1 warning tab"]),
    (b"web: run\n\nweb: go\n", [WEB], ["3 error duplicate"]),
    (b"\xef\xbb\xbfweb: run\n", [WEB], ["1 warning bom"]),
    (b"web: run\r\nworker: go\r\n", [WEB, ("worker", "go")], ["1 warning crlf"]),
    (b"worker: go\rweb: run\r", [("worker", "go"), WEB], ["1 warning carriage-return"]),
    (
        b"# a\r\nweb: run\rworker: go\n",
        [WEB, ("worker", "go")],
        ["1 warning crlf", "2 warning carriage-return"],
    ),
    (b"web: run\n" + b"a" * 63 + b": go\n", [WEB, ("a" * 63, "go")], []),
    (b"web: run\n" + b"a" * 64 + b": go\n", [WEB, ("a" * 64, "go")], ["2 warning long-name"]),
    (b"web: run\n" + b"a" * 129 + b": go\n", [WEB, ("a" * 129, "go")], ["2 warning long-name"]),
    (b"web:\n", [], ["1 error empty-command"]),
    (b"web:   \n", [], ["1 error empty-command"]),
    (b"web: # nothing\n", [("web", "# nothing")], ["1 error empty-command"]),
    (b"", [], ["None error empty-file"]),
    (b"\n# only a note\n", [], ["None error empty-file"]),
    (b"worker: go\n", [("worker", "go")], ["None warning no-web"]),
    (b"web: run\nhello world\n", [WEB], ["2 error prose"]),
    (b"web: run # note\n", [("web", "run # note")], ["1 warning trailing-comment"]),
    (
        b"web: run\nworker: caf\xe9\n",
        [WEB, ("worker", "caf\N{REPLACEMENT CHARACTER}")],
        ["2 error not-utf-8"],
    ),
    (b"\xff\xfew\0e\0b\0", [], ["1 error not-utf-8"]),
    (b"web: run\0\n", [("web", "run\0")], ["1 error nul-byte"]),
    (b"web: run \\\n  --flag\n", [("web", "run \\")], ["1 warning continuation", "2 error continuation"]),
    (b"web: run\nmy-worker: go\n", [WEB, ("my-worker", "go")], ["2 warning hyphen"]),
    (b"Web: run\n", [("Web", "run")], ["None warning no-web", "1 warning uppercase"]),
    (b"web: run\nClock: go\n", [WEB, ("Clock", "go")], ["2 warning uppercase"]),
    (b"web: run\nall: go\n", [WEB, ("all", "go")], ["2 warning reserved-name"]),
    (b"web: run\nmy worker: go\n", [WEB], ["2 error invalid-name"]),
    (b"web: run\nweb.1: go\n", [WEB], ["2 error invalid-name"]),
    (b"- web: run\n", [], ["1 error invalid-name"]),
    (b"FOO=hunter2\nweb: run\n", [WEB], ["1 error assignment"]),
    (b": run\n", [], ["1 error missing-name"]),
    (b"<<<<<<< HEAD\nweb: run\n=======\n", [WEB], ["1 error conflict-marker", "3 error conflict-marker"]),
    (b"// note\nweb: run\n", [WEB], ["1 error bad-comment"]),
    ("web\uff1a run\n".encode(), [], ["1 error wide-colon"]),
    ("\u200bweb: run\n".encode(), [], ["1 error invisible-character"]),
    ("web:\xa0run\n".encode(), [WEB], ["1 warning no-blank", "1 warning invisible-character"]),
    ("web: say \u201chi\u201d\n".encode(), [("web", "say \u201chi\u201d")], ["1 warning smart-quote"]),
    ("web: a\u2028b\n".encode(), [("web", "a\u2028b")], ["1 error line-separator"]),
    (b"web: a\x0cb\n", [("web", "a\x0cb")], ["1 error line-separator"]),
]


@pytest.mark.parametrize(("data", "processes", "findings"), TABLE)
def test_table(data, processes, findings):
    parsed = parse(data)
    assert list(parsed.processes) == processes
    assert [f"{found.line} {found.severity} {found.code}" for found in parsed.diagnostics] == findings


def test_lines_and_file_name():
    parsed = parse(b"# note\nweb: a\n\nworker:b\n", "Procfile.dev")
    assert parsed.lines == {"web": 2, "worker": 4}
    assert str(parsed.diagnostics[0]).startswith("Procfile.dev:4: warning: no blank after the colon")


def test_a_duplicate_names_both_lines():
    [found] = parse(b"web: a\n# b\nweb: c\n").diagnostics
    assert "lines 1 and 3" in found.message


def test_not_utf8_names_the_byte():
    [found] = parse(b"web: x\xe9\n").diagnostics
    assert "byte 0xe9 at byte 7" in found.message


def test_an_assignment_is_reported_without_its_value():
    assert all("hunter2" not in found.message for found in parse(b"web: x\nTOKEN=hunter2\n").diagnostics)


def test_no_finding_carries_what_a_terminal_obeys():
    for found in parse(b"\x1b[2J web: x\nweb : \x1b]0;x\x07 y\n").diagnostics:
        assert found.message.isprintable(), found


LINE = st.one_of(
    st.text(max_size=12),
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(["", "", " ", "\t"]),
        st.sampled_from(["web", "worker", "a-b", "Web", "x_1", "all", "über", "w" * 64]),
        st.sampled_from([":", ": ", " : ", ":\t", "", " "]),
        st.text(max_size=8)
        | st.sampled_from(
            ["run", "run # x", "run \\", "a 'b # c'", '"'],
        ),
        st.sampled_from(["", " ", "\r", "\\"]),
    ),
)


@RIGOROUS
@given(st.lists(LINE, max_size=5).map("\n".join))
@example("web:   ")
@example("web: a\x1cworker: b")
def test_honcho_reads_the_same_processes(text):
    """Whatever honcho accepts is here too, the same but for trailing blanks, unless we refuse the file."""
    parsed = parse(text.encode("utf-8", "surrogatepass"))
    if any(found.severity == "error" for found in parsed.diagnostics):
        return
    honchos = parse_procfile(text.removeprefix("\ufeff")).processes
    ours = dict(parsed.processes)
    assert {name: command.strip() for name, command in honchos.items()}.items() <= ours.items()
    heard = {found.code for found in parsed.diagnostics}
    for name in ours.keys() - honchos.keys():
        assert heard & {"indentation", "blank-before-colon"}, name


@RIGOROUS
@given(LINE)
@example("web: a: b")
@example("web:  x ")
@example("w__: x")
def test_plain_lines_need_neither_patterns_nor_rules(text):
    read = read_plain(text)
    if read is not None:
        assert read == read_odd(text)
        assert line_diagnosis.differences("Procfile", 1, text, *read) == []


def test_the_lines_of_most_procfiles_are_plain():
    line = "web: gunicorn --bind 0.0.0.0:$PORT 'shop.wsgi:application' && echo \"done\" > /dev/null"
    assert read_plain(line) == ("web", line.removeprefix("web: "))
    odd = ("my-worker: x", "web:x", "web : x", " web: x", "Web: x", "web: x \\", "web: x # y", "web: \u00e9", "web: ")
    assert not any(map(read_plain, odd))


@RIGOROUS
@given(st.binary(max_size=60))
def test_never_raises_and_never_skips(data):
    parsed = parse(data)
    spoken = {found.line for found in parsed.diagnostics} | set(parsed.lines.values())
    if any(found.line == 1 and found.code == "not-utf-8" for found in parsed.diagnostics):
        return
    lines = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for number, line in enumerate(lines, 1):
        text = line.decode(errors="replace").strip()
        assert not text or text.startswith("#") or number in spoken
