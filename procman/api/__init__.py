"""Heroku's Platform API, version 3: what the unmodified ``heroku`` client asks for, and other tools too.

Here live routes and the JSON shapes of answers; what they mean is the platform's business. ``routes.ROUTES`` is the
whole API as data: method, path, handler, the right that a caller needs. ``application.Api`` is the ASGI application
over it: it finds the route from the raw path (so that an encoded slash stays inside its segment), bounds and parses
the body, asks who calls, finds the app that the path names, and turns every refusal into ``{id, message}`` with
Heroku's status.
"""
