"""Where the Heroku client joins an attached one-off dyno, and the certificates that it trusts for that.

Here lives Heroku's rendezvous protocol: TLS, a line with a secret, then the dyno's bytes both ways. What a dyno is, who
may start one and how is not known here: whoever expects a client hands in a function that makes the stream.

Theory of operation: ``expect`` makes a secret that is good for one client and some seconds. A client that shows it in
time is joined to the stream: two tasks copy, each waiting for its receiver, so nothing piles up. Whoever ends first
ends the other. ``certificates`` makes, with the ``openssl`` program, an authority of this host's own and a certificate
by it, which the git and API port uses too.
"""
