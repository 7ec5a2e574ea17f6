"""The process of ``procman server``: the composition root, and what joins rooms that do not know each other.

Here lives how the rooms are put together on one host: which sockets, which user, whose log, which router. Never a rule
of Heroku's, a use case or a protocol: those have rooms of their own, which are handed what they need of each other.

Theory of operation: ``composition`` makes everything, starts it in order and closes it in the opposite one. What has to
outlive the server (supervisors, HAProxy) are processes of their own, found again by their sockets; what is half-done is
in the database, and taken up at the next start. So there is no clean-up that must not be missed: SIGKILL is as good an
end as SIGTERM, for everybody but the requests on their way.
"""
