"""From a checked-out tree to a slug: buildpacks, their output, and what they left, packed.

Here live the classic buildpack API, the buildpacks that come with procman (``buildpacks/NAME``, real ones: three
scripts each), the safe ways from a commit or an upload to a folder, and the slug's format. Never here: who may deploy,
release numbers, git's transport, the database.

A caller writes a ``BuildRequest``, runs ``python -m procman.builds REQUEST``, copies its stdout to whoever watches, and
reads a ``BuildResult``. The output ends with ``Done: 24.5M`` or `` !     Push failed``; what stands before and after
that is the caller's, and so are the words for the reasons ``source`` and ``internal``, of which nothing is printed.

A build is two processes. The *keeper* holds the time limit and the rights: it moves the source to where the slug will
be, writes the config vars to files, forks, and when its child is gone ends every process that is left, whatever it did
to hide. The *compiler*, its child, gets its own mount namespace (the slug appears at /app) and the build's own user id
before it looks at one byte of the app; everything that touches the tree happens there. It hands its result up a pipe,
and the keeper alone writes ``result.json`` and moves the packed slug to its place: both are there, or neither.
"""

from procman.builds.request import BuildRequest, BuildResult, Limits, read_request, read_result, write_request

__all__ = ["BuildRequest", "BuildResult", "Limits", "read_request", "read_result", "write_request"]
