"""gunicorn's settings; it reads this file by itself. `WEB_CONCURRENCY` sets how many workers it forks (1)."""

import ending

threads = 4  # so that /slow does not hold up the page
accesslog = "-"
access_log_format = "%(m)s %(U)s %(s)s in %(M)s ms"  # the process manager adds time and dyno
graceful_timeout = 8  # seconds; less than the managers' grace (Heroku 30, procman 10), or they kill the rest
control_socket_disable = True  # one per user by default, so two dynos would fight for it


def on_exit(_server):
    """End with the status that /exit asked for; gunicorn's own would be 0."""
    status = ending.wished_status()
    if status is not None:
        raise SystemExit(status)
