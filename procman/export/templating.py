"""Where templates are looked for, and what they may use."""

import os

import jinja2

from procman.export.quoting import filters

TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")


def environment(name: str, template_dir: str | None = None) -> jinja2.Environment:
    """Jinja2's, for one format: the user's templates first, where they have one; then ours.

    A misspelt variable is an error, not an empty text. Nothing is escaped by itself: each place has its filter.
    """
    folders = [*([template_dir] if template_dir else []), os.path.join(TEMPLATES, name)]
    made = jinja2.Environment(  # noqa: S701 - no HTML here
        loader=jinja2.FileSystemLoader(folders), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    made.filters.update(filters())
    return made
