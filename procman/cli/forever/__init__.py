"""`procman forever`: one program kept alive, with the words of forever (github.com/foreverjs/forever).

It is a formation of one process type, run by the same supervisor as `procman start`; what differs is values. Here
live forever's flags and JSON file (``flags``, ``configuration``), what they say about a program (``program``), the
list of the programs that run (``roll``), the composition (``keep``) and the actions (``actions``).
"""
