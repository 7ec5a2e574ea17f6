"""Measures of procman beside its peers, in the same run on the same machine: ``python -m benchmarks [MEASURE…]``.

What lives here: one small file a measure (``first_line``, ``throughput``, …), each with ``measure(bench)``, which
yields rows of a table. Managers take turns within every measure, so that a busy machine is busy for all of them;
cells are medians. Nothing here is imported by procman. What a measure starts it ends, by pid; what a manager
leaves behind is ended too, and said. procman is measured as installed from a wheel in a venv of its own: an
editable install's import finder costs 20 ms of the way to the first line.
"""
