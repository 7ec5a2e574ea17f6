"""Has an exporter make its files, in memory, and looks at what it made."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
from honcho.environ import ProcessParams
from honcho.export.base import File, dashrepl

from procman.errors import ProcmanError
from procman.export.exporters import exporter
from procman.export.processes import Process
from procman.export.templating import environment

HONCHOS = "honcho.export."
OURS = ("procman.export.", HONCHOS)  # whose exporters take our templates
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # of a variable that every format can hold


class Rendered(NamedTuple):
    """One file. ``path`` is relative to the folder that is exported to."""

    path: str
    content: str
    executable: bool


def render(
    name: str, template_dir: str | None, processes: Sequence[Process], context: dict[str, Any]
) -> list[Rendered]:
    """The files of a format. ProcmanError when a value or a template is such that there can be none."""
    check_texts(processes)
    made = exporter(name)
    try:
        files = [
            Rendered(os.fspath(file.name), file.content, bool(file.executable))
            for file in files_of(made, template_dir, processes, context)
        ]
    except jinja2.TemplateNotFound as error:
        where = template_dir or "the exporter"
        raise ProcmanError(f"cannot export to '{name}': no template '{error.name}' in {where}") from error
    except jinja2.TemplateError as error:
        place = f"{error.filename}:{error.lineno}: " if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise ProcmanError(f"cannot export to '{name}': {place}{error.message}", "check --template-dir") from error
    except ValueError as error:
        raise ProcmanError(f"cannot export to '{name}': {error}") from error
    except Exception as error:  # somebody else's program; its words may hold values
        reason = f"its exporter ended with {type(error).__name__}"
        raise ProcmanError(f"cannot export to '{name}': {reason}", f"honcho export {name} LOCATION") from error
    check_paths(name, files)
    return files


def files_of(
    made: Any, template_dir: str | None, processes: Sequence[Process], context: dict[str, Any]
) -> Iterator[Any]:
    """What the exporter yields. Other people's are called as honcho calls them; honcho's own get our templates."""
    if not made.__module__.startswith(OURS):
        plain = [ProcessParams(dyno.name, dyno.cmd, dyno.quiet, dict(dyno.env)) for dyno in processes]
        yield from made(template_dir=template_dir).render(plain, context)
        return
    templates = environment(made.__module__.rpartition(".")[2], template_dir)
    made = made(template_env=templates)
    runit = made.__class__.__module__ == f"{HONCHOS}runit"
    own_run = template_dir is not None and os.path.exists(os.path.join(template_dir, "run"))
    if runit:
        context = {**context, "variables": {process.name: process.env for process in processes}}
        if not own_run:  # an envdir keeps neither newlines nor blanks at the end: our `run` exports variables itself
            processes = [process._replace(env={}) for process in processes]
    yield from made.render(list(processes), context)
    if runit:
        yield from stops(templates, processes, context)


def stops(templates: Any, processes: Sequence[Process], context: Mapping[str, Any]) -> Iterator[Any]:
    """For runit, which has no grace: each service gets a way of its own to be stopped."""
    for process in processes:
        text = templates.get_template("control/t").render({**context, "process": process})
        yield File(f"{context['app']}-{dashrepl(process.name)}/control/t", text, executable=True)


def check_texts(processes: Sequence[Process]) -> None:
    """Refuse what no format can hold, by the name of its variable."""
    for process in processes:
        for key, value in process.env.items():
            if not NAME.fullmatch(key):
                raise ProcmanError(f"cannot export the variable {key!a}: shells cannot have such a name")
            if not is_text(value):
                raise ProcmanError(f"cannot export the variable {key}: its value is not UTF-8, or has a zero byte")
        if not is_text(process.cmd):
            raise ProcmanError(f"cannot export {process.name}: its command is not UTF-8, or has a zero byte")


def is_text(text: str) -> bool:
    """Whether it can stand in a file of text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def check_paths(name: str, files: Sequence[Rendered]) -> None:
    """Refuse two files of one name, and any outside of the folder."""
    seen = set()
    for file in files:
        parts = file.path.split("/")
        if os.path.isabs(file.path) or not all(parts) or {".", ".."} & set(parts):
            raise ProcmanError(f"cannot export to '{name}': it would write {file.path!a}")
        if file.path in seen:
            raise ProcmanError(
                f"cannot export to '{name}': two process types or dynos would have the file {file.path}",
                "rename one of them in the Procfile",
            )
        seen.add(file.path)
