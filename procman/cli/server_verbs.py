"""The verbs about this host's own server, and one elsewhere."""

from procman.cli.verb import Verb, later

VERBS: dict[str, Verb] = {
    "server": Verb(
        "Serve apps to the Heroku client and git, on this host.",
        "In the foreground, until Ctrl-C or SIGTERM; dynos and router go on without it, and are found again. "
        "With env it prints what a shell needs, for eval; with ca, the authority that TLS clients have to trust; with "
        "install it writes a systemd unit.",
        (
            "procman server",
            "procman server --data /srv/procman --port 5500 --router-port 80",
            'eval "$(procman server env)"',
            "sudo procman server install --system",
        ),
        "[env|ca|install]",
        later("server", "server"),
    ),
    "connect": Verb(
        "Reach a server on another host, through ssh.",
        "Opens a tunnel for the API, git and heroku run, and prints what a shell needs, for eval. The tunnel stays in "
        "the background until it is closed with: procman connect --close HOST.",
        ('eval "$(procman connect deploy@example.com)"', "procman connect --close deploy@example.com"),
        "HOST",
        later("server_connect", "connect"),
    ),
    "backup": Verb(
        "Write all that a server on this host knows into one file.",
        "While it runs or not. The file holds secrets, and is for its owner alone. Logs are not in it.",
        ("procman backup monday.tgz", "sudo procman backup --data /var/lib/procman monday.tgz"),
        "FILE",
        later("backup", "backup"),
    ),
    "restore": Verb(
        "Make a server's data directory of a backup.",
        "On this host or another; the directory has to be empty or not there. Then start the server.",
        ("procman restore monday.tgz", "sudo procman restore --data /var/lib/procman monday.tgz"),
        "FILE",
        later("backup", "restore"),
    ),
    "doctor": Verb(
        "Say what is wrong with this installation, and what to type.",
        "Of the host, of formations, and of a server by its data. Changes nothing. Exit status 1 for an error.",
        ("procman doctor", "procman doctor --json", "sudo procman doctor --data /var/lib/procman"),
        None,
        later("doctor", "doctor"),
    ),
}
