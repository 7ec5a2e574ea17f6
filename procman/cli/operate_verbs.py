"""The verbs about a formation that runs, and about the files that keep one running."""

from procman.cli.verb import Verb, later

VERBS: dict[str, Verb] = {
    "ps": Verb(
        "Show the dynos of a running formation.",
        "State, how long, restarts, why the last life ended, when the next try comes, memory, CPU, port, pid.",
        ("procman ps", "procman ps web.1", "procman ps --watch", "procman ps --json"),
        "[DYNO|TYPE]...",
        later("ps", "ps"),
    ),
    "scale": Verb(
        "Set how many dynos of a type run.",
        "TYPE=N, TYPE+N or TYPE-N. Returns when those to go are gone and those to come are started. Without words it "
        "shows the formation of an app on a server.",
        ("procman scale web=3 worker=0", "procman scale web+1", "procman scale web=2 --wait"),
        "[TYPE=N]...",
        later("operate", "scale"),
    ),
    "restart": Verb(
        "Replace dynos by new ones.",
        "All but those stopped by hand, or those named. Returns when the new ones are started; with --wait when they "
        "are up.",
        ("procman restart", "procman restart web", "procman restart web.2 --wait-timeout 60s"),
        "[DYNO|TYPE]...",
        later("operate", "restart"),
    ),
    "stop": Verb(
        "Stop dynos while the rest goes on.",
        "They stay down until procman start or restart names them. procman shutdown ends everything.",
        ("procman stop worker", "procman stop web.2"),
        "DYNO|TYPE...",
        later("operate", "stop"),
    ),
    "kill": Verb(
        "Send a signal to a dyno's root process.",
        "SIG is a name or a number; -HUP and -9 will do as well.",
        ("procman kill -s HUP web.1", "procman kill -9 worker"),
        "DYNO|TYPE...",
        later("operate", "kill"),
    ),
    "reload": Verb(
        "Read Procfile, env files and settings again.",
        "Only what changed is changed. A broken file changes nothing, and it says where it is broken.",
        ("procman reload", "procman reload --wait"),
        None,
        later("operate", "reload"),
    ),
    "upgrade": Verb(
        "Have the supervisor run the procman that is installed now.",
        "As the same process, without restarting a dyno or losing a line. It is refused, and nothing changes, when the "
        "new program cannot go on, such as with a broken Procfile. The signal USR2 does the same.",
        ("pip install --upgrade procman && procman upgrade", "procman upgrade --name shop"),
        None,
        later("operate", "upgrade"),
    ),
    "shutdown": Verb(
        "End a running formation, gracefully.",
        "Returns when everything has ended. A second one only waits for the same; with --now it kills at once.",
        ("procman shutdown", "procman shutdown --name shop", "procman shutdown --now"),
        None,
        later("operate", "shutdown"),
    ),
    "logs": Verb(
        "Show the log of a formation, running or not.",
        "As heroku logs does: time, source, dyno, line. Of all dynos, or of those named. With --tail it goes on.",
        (
            "procman logs",
            "procman logs -n 500 web.1",
            "procman logs -t --source app worker",
            "procman logs --since 5m --grep Traceback",
        ),
        "[DYNO|TYPE]...",
        later("logs", "logs"),
    ),
    "attach": Verb(
        "Join a dyno's terminal.",
        "For dynos started with a terminal (procman start --tty, or in one). Ctrl-] detaches; the dyno goes on.",
        ("procman attach web.1", "procman attach web.1 --detach-key ctrl-q"),
        "DYNO",
        later("attach", "attach"),
    ),
    "explain": Verb(
        "Tell why a dyno is down, or was.",
        "Its last lives and how they ended, its last lines, when it is tried again, what the kernel says.",
        ("procman explain web.1", "procman explain web.1 --json"),
        "DYNO",
        later("explain", "explain"),
    ),
    "list": Verb(
        "Show every formation of this user on this host.",
        "Running ones, and those that have left a log.",
        ("procman list", "procman list --json"),
        None,
        later("formations", "show_all"),
    ),
    "install": Verb(
        "Write a systemd unit that starts this app at boot.",
        "Takes what start takes and matters there, and the PATH of now. systemd is told when everything has been "
        "started, and starts procman again should it end or hang: stop it with systemctl, as procman shutdown ends it "
        "only until then. Prints what to type next. Replaces only what it wrote itself.",
        (
            "procman install systemd",
            "procman install systemd web=2 worker --restart heroku --print",
            "sudo procman install systemd --system --run-as deploy -d /srv/shop",
        ),
        "systemd [TYPE[=N]]...",
        later("install", "install"),
    ),
    "export": Verb(
        "Write the formation as another manager's files.",
        "FORMAT is compose, kubernetes, launchd, runit, supervisord, systemd, upstart, or one that another package "
        "adds to honcho's. Each dyno gets what start gives it: command, PORT, DYNO, PS and the env files' variables; "
        "release, which ends, is left out. Files are for their owner alone. Replaces only what it wrote itself.",
        (
            "procman export systemd units -a shop -u deploy",
            "procman export supervisord /etc/supervisor/conf.d -c web=2,worker=1 -p 8000",
            "procman export compose . --image registry.example.com/shop:42",
            "procman export kubernetes manifests -e .env.production",
        ),
        "FORMAT LOCATION",
        later("export", "export"),
    ),
    "completion": Verb(
        "Print what makes a shell complete procman's words.",
        "Verbs, flags, process types of the Procfile, dynos that run, formations, policies, signals.",
        (
            "procman completion bash > ~/.local/share/bash-completion/completions/procman",
            'procman completion zsh > "${fpath[1]}/_procman"',
            "procman completion fish > ~/.config/fish/completions/procman.fish",
        ),
        "bash|zsh|fish",
        later("complete", "print_script"),
    ),
}
