"""The supervisor under a simulator: the real engine, loop, processes, pump and log store on a kernel made of Python.

Here live the fake kernel, schedules of faults as plain data, and what must hold after every turn of the loop; never a
real process, a real clock or a thread.

Theory of operation: ``machine.Machine`` puts stand-ins for ``os``, ``signal``, ``time``, ``Poller`` and ``fcntl``
into the modules of procman that touch the kernel. They lead to ``kernel.Kernel`` (processes, pids, signals, an agenda
of what is to come) and ``files.Files`` (descriptors, pipes, a disk). Only a wait of the loop lets time pass: the kernel
does the next thing on its agenda until something is ready. A ``schedule.Schedule`` is drawn from a seed, and tells how
each process behaves and what happens when. ``world.World`` plays it; ``invariants`` look at it after every turn. A
schedule that fails is made small by Hypothesis (``shrink``). ``python -m tests.simulator --seed N`` tells its story.
"""
