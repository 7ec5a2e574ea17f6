"""The router: host names to web dynos, by an HAProxy that is configured, watched and spoken to, never imitated.

What lives here: the text of its configuration, the commands of its runtime socket, its log lines turned into Heroku's,
the error pages. What never: platform, API, processes of dynos; no request passes through Python.

How it works. HAProxy has backends to spare, *slots*, all of one shape. An app is given a slot, and its dynos become
servers in it. Two maps say the rest: ``hosts.map`` host to app, ``apps.map`` app to state and slot. So apps come, scale
and go by commands to the running HAProxy. New dynos of a new generation get a slot of their own, and one ``set map``
moves the app there: that is the switch in one step, and what runs on the old slot ends in peace. A reload, which hands
the listening sockets over, is for what cannot be told: more slots, certificates, other addresses or another version.

``arrangement`` (who has which slot), ``configuration`` and ``runtime_commands`` are pure; ``Router`` acts. HAProxy runs
on without us. Everything it needs to start anew is on disk before it is told, and whoever comes next finds it there.
"""

from procman.router.router import Router
from procman.router.settings import Settings, Timeouts
from procman.router.sites import Certificate, Server, Site

__all__ = ["Certificate", "Router", "Server", "Settings", "Site", "Timeouts"]
