"""The machine: what a formation of dynos does when something happens.

Here live values and decisions; never I/O, clocks, randomness, logging or another room. The one import that
computes is ``zlib.crc32``, a pure function.

Theory of operation: ``Engine.handle(event, now)`` turns one thing that happened into a list of effects, which the
supervisor performs; what comes of them (a process id, a failure, an exit) comes back as further events. What is wished
(the formation) and what is (the dynos) are different data. A dyno's state changes only in ``table.py``, one total
table of states and events whose cells are functions of ``cells.py``. There are no timers: ``Engine.deadline()`` is
worked out from state, the time it was entered and the policy, and a ``Tick`` makes due what is due. Every spawn has a
run number; news of an earlier run is dropped in ``Engine.handle``. A rollout is a second set of dynos beside the
first: the generation is part of a dyno's name, and ``rollout.py`` says when which set is wished for. Times are seconds
of a monotonic clock.
"""
