"""The way of a log line from a dyno to a reader: splitter, formats, sink, store; and on a server, to everybody else.

Everything here is bytes and works on whole chunks: no decode and no loop per line on the way (JSON, which must
escape, leaves that to C). A line has one shape everywhere: time, source (``app`` or ``heroku``), dyno, bytes.
Memory is bounded: a full sink says so, and whoever feeds it stops reading.

The store on disk is the only buffer that readers share. A server's readers (log sessions, drains) are followers of it,
each at a place of its own, so a slow one holds up nobody and one that comes back goes on where it was. An app has two
stores, its supervisor's and the server's, each with one writer; ``merge`` reads them as one. What waits for more
(``stream``, ``shipper``) is told by the app's bell (``news``) and needs asyncio: ``procman start`` imports none of it.
"""
