"""The command line: verbs, flags, settings, and the app that they describe.

``options`` is the one table of flags. `procman start` reads it without click (``read_fast``), everything else
with click (``group``); both hand a ``Given`` to the verb. ``settings.resolve`` merges it with the settings
files, ``app.load`` reads Procfile and env files: what comes out is all a supervisor has to know. Verbs import
what they need inside the function, because imports are most of the time to the first dyno.
"""
