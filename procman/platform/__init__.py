"""What the platform does: apps, config vars, formations, releases, builds, domains, drains, users and keys.

Here live use cases over the store: who may, what follows from what, in which order. Never HTTP (that is ``api/``),
never a process (that is a ``Runtime``), never SQL beyond what ``store.tables`` offers.

Theory of operation: a change is one transaction, then lines in the app's log, then a poke at the app's worker
(``rollouts``). The worker looks at what the database wishes and at what it last made true, and closes the gap: a
pending release is rolled out, another quantity is scaled to. It is level-triggered: a poke says only that there may be
something to do, so nothing is lost when the server dies between the transaction and the deed; on the next start every
app is poked.
Everything hangs on ``Host``, which the composition root builds.
"""
