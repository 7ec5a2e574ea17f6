"""The formation as other managers' files: units, programs, services, manifests.

Here live the exporters that procman adds to honcho's (``compose``, ``kubernetes``, ``launchd``), the templates that
honcho's own get from us, how a value is written in each of these languages, and how the files come to stand in a
folder. Never here: what the app is, which dynos there are and what is in their environment, which `procman start` and
`procman export` work out by the same code (`cli.export`).

An exporter is a class of the entry point group ``honcho_exporters``, whoever installed it. It is given the dynos and a
context, and yields files; ``rendering`` calls it as honcho does. Templates are Jinja2's. Every value that goes into one
passes a filter of ``quoting``, which writes it so that the reader there gets it back as it is, or refuses.

Nothing is written before everything is rendered and every place is known to be free or ours: ``delivery`` leaves a
record beside the files, by which the next export knows its own from other people's.
"""
