"""The effectful shell of the engine: it turns the kernel's news into events and the engine's effects into deeds.

One loop in one thread, no coroutine; what is kept on disk is written by another (``logs.scribe``).
Children are made by ``posix_spawn``, each in a session of its own.
Their ends are learned from SIGCHLD: procman is a subreaper, so orphans of a dyno come back to it and are found by
session, ancestry or the token in their environment. ``LocalProcesses`` is the only file that starts or signals dynos;
``Supervisor`` does not know whether it drives that or a fake.
Whether dynos are well is asked by ``checkups``, which makes a ``health_watch`` where a type wants one (``probes``,
``notices``); at a rollout, by ``health``.

A served app (``served_app``) is the same with another ``beginning`` and with a server's ``orders``: ``rollouts``,
``one_offs``, ``states``. What lets dynos outlive a killed supervisor: named log pipes (``ends``, ``owed``), ``ledger``,
``holder``, and for the next one ``adoption`` and ``remains``. What lets it become another program in place:
``upgrade``, ``baggage``, ``resumption``.
"""
