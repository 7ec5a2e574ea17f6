"""What the server remembers: SQLite rows, and the values of ``core.records`` they stand for.

Here lives the database and nothing that decides. All work on it is done by one thread, a transaction a call
(``Database.run``): writers never meet, the event loop never waits for a disk. Tables are declared once, in
``tables``: a row is a named tuple whose fields are the columns. The schema grows by numbered files in ``migrations``.
"""
