"""The way of a log line from a dyno to a reader: splitter, formats, sink.

Everything here is bytes and works on whole chunks: no decode and no loop per line on the way (JSON, which must
escape, leaves that to C). A line has one shape everywhere: time, source (``app`` or ``heroku``), dyno, bytes.
Memory is bounded: a full sink says so, and whoever feeds it stops reading.
"""
