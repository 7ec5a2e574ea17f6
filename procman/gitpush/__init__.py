"""``git push``: smart HTTP over real git, bare repositories, and the hook that makes a deploy of a push.

Here lives how code comes in by git; never what a build or release is. ``transport`` is an ASGI application that runs
``git receive-pack`` and ``git upload-pack`` for whoever may (it asks an ``Access``). git calls ``hook`` as pre-receive:
that decides what the pushed refs mean (``updates``), waits for the app's deploy lock, hands the commit to the server
over its Unix socket and prints what comes back, which git shows the pusher as ``remote:`` lines. Whether the ref moves
is decided by the hook's exit status.

The lock is a file locked with flock through a descriptor that ``receive-pack`` holds too: it is free when the ref has
moved, or at once when git is killed.
"""
