"""The pages that the router answers with itself, as HAProxy's templates: ``%[…]`` is filled in at each answer."""

from collections.abc import Mapping

ERROR, MAINTENANCE, BLANK, UNKNOWN = "error.html", "maintenance.html", "blank.html", "unknown.html"
ERROR_URLS, MAINTENANCE_URLS = "error-pages.map", "maintenance-pages.map"

STYLE = """\
html,body{margin:0;height:100vh}
main{max-width:36rem;margin:0 auto;padding:20vh 1.5rem 0;font:1.1rem/1.6 system-ui,sans-serif;color:#333}
h1{font-size:1.6rem;font-weight:600}code{background:#eee;padding:.1em .4em;border-radius:.3em}
iframe{display:none;border:0;width:100vw;height:100vh}
.framed iframe{display:block}.framed main{display:none}"""

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body{attributes}>
<main>
<h1>{title}</h1>
<p>{text}</p>
</main>{frame}
</body>
</html>
"""

TEXTS: Mapping[str, tuple[str, str, str]] = {
    ERROR: (
        "Application error",
        "The application did not answer as it should. If it is yours, its log says more: "
        "<code>heroku logs --tail</code>.",
        ERROR_URLS,
    ),
    MAINTENANCE: (
        "Offline for maintenance",
        "The application is being worked on. Please come back in a little while.",
        MAINTENANCE_URLS,
    ),
    BLANK: (
        "Nothing here yet",
        "The application exists, but nothing has been deployed to it: <code>git push heroku master</code> does that.",
        "",
    ),
    UNKNOWN: ("No such app", "No application goes by this name here. Is the address spelled right?", ""),
}


def template(name: str) -> str:
    """A page as HAProxy reads it. Where the app has a page of its own, that is shown in a frame over everything."""
    title, text, urls = TEXTS[name]
    attributes = frame = ""
    if urls:
        url = f"%[var(txn.app),map_str({urls})]"
        # The first letter of the URL's scheme is there or not: the only condition that such a template has.
        attributes = f' class="%[var(txn.app),map_str({urls}),regsub(^http.*,framed)]"'
        frame = f'\n<iframe src="{url}" title="{title}"></iframe>'
    return PAGE.format(title=title, text=text, style=STYLE, attributes=attributes, frame=frame)
