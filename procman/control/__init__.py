"""The supervisor's control socket: how anybody on this host talks to a running formation.

One connection carries one request: a line of JSON with a ``verb``, answered by lines of JSON of which the last has
``ok``. After ``attach`` the connection carries a dyno's terminal instead, raw, both ways. Here live the wording of
requests and answers, the server half, which is driven by the supervisor's loop, and the client half, which blocks.
What a verb does is not known here: the supervisor hands in a function.
"""
