"""Text to values: Procfile, env files, formation arguments, durations; and what to say about bad text.

Nothing here opens a file, a socket or a process: bytes come in, values and findings go out, and the caller
knows where the bytes are from. A reader of a hand-written file never raises for what the file contains. It
returns what it could read together with every ``Diagnostic``, so that `procman check` can list them all at
once and `procman start` can refuse. An error is what would be lost or misread here; a warning runs here but
reads otherwise elsewhere.

The grammars are other people's: a Procfile line is honcho's ``PROCFILE_LINE``, an env file is what
python-dotenv's parser makes of it. Tests hold us to both. ``procfile`` and ``envfile`` are on the way to the
first dyno, so whatever only bad or unusual text needs (``line_diagnosis``, ``statement_diagnosis``,
``advice``) is imported when it is met.
"""
