"""Writes what its argument says, byte for byte."""

import os
import sys


def put(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


what = sys.argv[1]
if what == "odd":  # everything that a careless log path breaks
    put(b"nul \0 byte\n\x1b[31mred\x1b[0m\ninvalid \xff\xfe utf-8\nsplit \xc3")
    put(b"\xa9 e-acute\nprogress 1%\rprogress 2%\rdone\n\n  indented\ttab\nno newline at the end")
elif what == "long":
    size = int(sys.argv[2])
    for letter in b"abc":
        put(bytes([letter]) * size + b"\n")
elif what == "endless":
    for _ in range(int(sys.argv[2])):
        put(b"Z" * (1 << 20))
elif what == "count":
    name, total = sys.argv[3], int(sys.argv[2])
    for start in range(0, total, 1000):
        put(b"".join(b"%s %07d %s\n" % (name.encode(), n, b"." * 80) for n in range(start, min(start + 1000, total))))
