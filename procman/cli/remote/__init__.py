"""Verbs that speak to a server: Heroku's, with its names and flags, over the same API that its client uses.

Here lives what prints answers; which verb speaks to which side is said by ``verbs.SIDES``. The server is found from
HEROKU_HOST and HEROKU_API_KEY, as `procman server env` sets them, or by the socket and key in the data directory of
this host's own server; the app from ``-a``, HEROKU_APP, or the git remote.
"""
