"""Every verb that speaks to a server, with Heroku's names; and the table of which side a verb speaks to."""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from procman.cli.options import Given, Option
from procman.cli.remote.sides import BOTH, action
from procman.cli.verb import Verb


class Side(Enum):
    """Whom a verb speaks to."""

    HERE = "the formation of this directory"
    SERVER = "a server"
    EITHER = "a server with -a, HEROKU_APP or a git remote to it; else, or if it runs here, this directory's formation"


APP = Option("app", ("-a", "--app"), "APP", "The app (default: HEROKU_APP, or the git remote's).")
REMOTE = Option("remote", ("-r", "--remote"), "REMOTE", "The git remote that leads to the app.")
JSON = Option("json", ("--json",), None, "Print one JSON object.")
COMMON = (APP, REMOTE, JSON)
DYNO = Option("dyno", ("-d", "--dyno-name"), "DYNO", "This dyno.")
TYPE = Option("process_type", ("-p", "--process-type"), "TYPE", "The dynos of this process type.")
SIZE = Option("size", ("-s", "--size"), "SIZE", "The dyno's size.")
VARIABLES = Option("variables", ("-e", "--env"), "KEY=VALUE[;…]", "Variables for this dyno alone.")
SHELL = Option("shell", ("-s", "--shell"), None, "In the shell's form.")
NUM = Option("num", ("-n", "--num"), "N", "How many.")
CERT = Option("cert", ("--cert",), "NAME", "The certificate, as `procman certs` lists it.")
INDEX = Option("index", ("-i", "--index"), "N", "At this place, counted from 1.")


class RemoteVerb(NamedTuple):
    """``call``: ``MODULE.FUNCTION`` under this package, imported when it is called; ``words``: see ``Verb``."""

    summary: str
    call: str
    words: str | None = None
    options: tuple[Option, ...] = ()
    details: str = ""
    examples: tuple[str, ...] = ()

    def verb(self, name: str) -> Verb:
        """As the command line's group has it."""
        return Verb(self.summary, self.details, self.examples or (f"procman {name} -a demo",), self.words, self.run)

    def run(self, told: Given, own: dict[str, bool]) -> int:
        """Do it."""
        return action(self.call)(told, own)


def resource(noun: str, name: str, words: str, example: str) -> dict[str, RemoteVerb]:
    """The three verbs of a list under an app."""
    upper = name.upper()
    return {
        noun: RemoteVerb(f"List an app's {noun}.", f"resources.{upper}.list", None, COMMON),
        f"{noun}:add": RemoteVerb(
            f"Add to an app's {noun}.", f"resources.{upper}.add", words, COMMON, "",
            (f"procman {noun}:add -a demo {example}",),
        ),
        f"{noun}:remove": RemoteVerb(
            f"Remove from an app's {noun}.", f"resources.{upper}.remove", words, COMMON, "",
            (f"procman {noun}:remove -a demo {example}",),
        ),
    }


REMOTE_VERBS: Mapping[str, RemoteVerb] = {
    "apps": RemoteVerb("List the apps on a server.", "apps.listed", None, (JSON,), "", ("procman apps",)),
    "apps:create": RemoteVerb(
        "Make an app.", "apps.create", "[NAME]",
        (REMOTE, JSON, Option("no_remote", ("--no-remote",), None, "Make no git remote.")),
        "In a git work tree it also makes the remote that you push to.", ("procman apps:create demo",),
    ),
    "apps:info": RemoteVerb("Show what is known of an app.", "apps.show", None, COMMON),
    "apps:rename": RemoteVerb(
        "Give an app another name.", "apps.rename", "NEWNAME", COMMON, "", ("procman apps:rename -a demo shop",)
    ),
    "apps:transfer": RemoteVerb(
        "Give an app to another user.", "apps.transfer", "EMAIL", COMMON,
        "At once: nobody has to accept. Who owned it may still work on it.",
        ("procman apps:transfer -a demo ann@example.com",),
    ),
    "apps:destroy": RemoteVerb(
        "End an app for good.", "apps.destroy", "[NAME]",
        (*COMMON, Option("confirm", ("-c", "--confirm"), "NAME", "The app's name once more.")),
        "Its dynos, code, releases and logs.", ("procman apps:destroy -a demo --confirm demo",),
    ),
    "apps:open": RemoteVerb("Show an app in the browser.", "apps.open_app", None, COMMON),
    "ps:scale": RemoteVerb(
        "Set how many dynos of a type an app has.", "dynos.scale", "[TYPE=N[:SIZE]]...", COMMON,
        "TYPE+N and TYPE-N too. Without words it shows the formation.", ("procman ps:scale -a demo web=2 worker+1",),
    ),
    "ps:type": RemoteVerb(
        "Set the size of dynos.", "dynos.size", "[TYPE=SIZE]...", COMMON, "Without words it shows them.",
        ("procman ps:type -a demo web=standard-2x",),
    ),
    "ps:restart": RemoteVerb(
        "Replace an app's dynos by new ones.", "dynos.restart", "[DYNO|TYPE]...", (*COMMON, DYNO, TYPE), "",
        ("procman ps:restart -a demo", "procman ps:restart -a demo web.1"),
    ),
    "ps:stop": RemoteVerb(
        "Stop dynos of an app.", "dynos.stop", "[DYNO|TYPE]...", (*COMMON, DYNO, TYPE),
        "One-off dynos for good; dynos of the formation are started again.", ("procman ps:stop -a demo run.1234",),
    ),
    "ps:wait": RemoteVerb(
        "Wait until an app's latest release runs.", "dynos.wait", None,
        (*COMMON, TYPE, Option("wait_timeout", ("--wait-timeout",), "TIME", "For at most so long: 60, 5m.")),
        "With status 1 if that release fails, or a dyno crashes.",
    ),
    "config": RemoteVerb("Show an app's config vars.", "config.show", None, (*COMMON, SHELL)),
    "config:get": RemoteVerb(
        "Show one config var.", "config.get", "KEY", (*COMMON, SHELL), "", ("procman config:get -a demo GREETING",)
    ),
    "config:set": RemoteVerb(
        "Set config vars.", "config.put", "KEY=VALUE...", COMMON, "One release for all of them.",
        ("procman config:set -a demo GREETING=hello DEBUG=1",),
    ),
    "config:unset": RemoteVerb(
        "Remove config vars.", "config.unset", "KEY...", COMMON, "", ("procman config:unset -a demo DEBUG",)
    ),
    "config:edit": RemoteVerb("Change config vars in your editor.", "config_edit.edit", None, COMMON),
    "releases": RemoteVerb("List an app's releases.", "releases.listed", None, (*COMMON, NUM)),
    "releases:info": RemoteVerb("Show one release.", "releases.show", "[VERSION]", COMMON),
    "releases:output": RemoteVerb("Show what a release command printed.", "releases.output", "[VERSION]", COMMON),
    "releases:retry": RemoteVerb(
        "Release code once more that failed.", "releases.retry", "[VERSION]", COMMON,
        "With the config vars of now, as a new release. Without a version, that of the newest.",
        ("procman releases:retry -a demo",),
    ),
    "rollback": RemoteVerb(
        "Bring back an earlier release.", "releases.roll_back", "[VERSION]", COMMON,
        "Its slug and its config vars, as a new release. Without a version, the one before the current.",
        ("procman rollback -a demo v3",),
    ),
    "builds": RemoteVerb("List an app's builds.", "releases.builds", None, (*COMMON, NUM)),
    "builds:info": RemoteVerb("Show one build.", "releases.build_info", "[BUILD]", COMMON),
    "builds:output": RemoteVerb("Show what a build printed.", "releases.build_output", "[BUILD]", COMMON),
    "builds:cancel": RemoteVerb("End a build that runs.", "releases.cancel_build", "[BUILD]", COMMON),
    "builds:cache:purge": RemoteVerb("Forget what earlier builds kept.", "releases.purge_cache", None, COMMON),
    "run:detached": RemoteVerb(
        "Run a command in a one-off dyno in the background.", "run.detached", "CMD...",
        (*COMMON, SIZE, VARIABLES), "", ("procman run:detached -a demo python manage.py migrate",),
    ),
    "maintenance": RemoteVerb("Whether an app is in maintenance mode.", "apps.maintenance", None, COMMON),
    "maintenance:on": RemoteVerb("Let the router answer for an app.", "apps.maintenance_on", None, COMMON),
    "maintenance:off": RemoteVerb("Send requests to an app's dynos again.", "apps.maintenance_off", None, COMMON),
    **resource("domains", "domains", "HOSTNAME...", "www.example.com"),
    "domains:add": RemoteVerb(
        "Add to an app's domains.", "domains.add", "HOSTNAME...", (*COMMON, CERT),
        "Each is served with the app's newest certificate that covers it, unless --cert names another.",
        ("procman domains:add -a demo www.example.com",),
    ),
    "domains:update": RemoteVerb(
        "Serve domains with another certificate.", "domains.update", "HOSTNAME...", (*COMMON, CERT), "",
        ("procman domains:update -a demo www.example.com --cert demo-12345",),
    ),
    **resource("drains", "drains", "URL...", "syslog+tls://logs.example.com:6514"),
    **resource("access", "access", "EMAIL...", "ann@example.com"),
    "webhooks": RemoteVerb("List an app's webhooks.", "resources.WEBHOOKS.list", None, COMMON),
    "webhooks:add": RemoteVerb(
        "Have changes of an app told to an address.", "resources.add_webhook", "URL...",
        (
            *COMMON,
            Option("include", ("-i", "--include"), "EVENT[,…]", "Which changes (default: api:release)."),
            Option("level", ("-l", "--level"), "notify|sync", "Once, or until it is taken."),
            Option("secret", ("-s", "--secret"), "SECRET", "What calls are signed with (default: a new one)."),
            Option("authorization", ("-t", "--authorization"), "HEADER", "Sent along as the header Authorization."),
        ),
        "Prints the signing secret, this once.", ("procman webhooks:add -a demo -i api:release https://example.com/hook",),
    ),
    "webhooks:remove": RemoteVerb(
        "Tell an address no more.", "resources.WEBHOOKS.remove", "ID|URL...", COMMON, "",
        ("procman webhooks:remove -a demo https://example.com/hook",),
    ),
    "features": RemoteVerb("List an app's features.", "resources.FEATURES.list", None, COMMON),
    "features:enable": RemoteVerb(
        "Turn features on.", "resources.enable", "FEATURE...", COMMON, "",
        ("procman features:enable -a demo log-runtime-metrics",),
    ),
    "features:disable": RemoteVerb(
        "Turn features off.", "resources.disable", "FEATURE...", COMMON, "",
        ("procman features:disable -a demo preboot",),
    ),
    "buildpacks": RemoteVerb("List an app's buildpacks.", "resources.buildpacks", None, COMMON),
    "buildpacks:add": RemoteVerb(
        "Add a buildpack.", "resources.add_buildpack", "BUILDPACK...", (*COMMON, INDEX), "",
        ("procman buildpacks:add -a demo -i 1 heroku/nodejs",),
    ),
    "buildpacks:set": RemoteVerb(
        "Set the buildpack.", "resources.set_buildpack", "BUILDPACK...", (*COMMON, INDEX), "",
        ("procman buildpacks:set -a demo heroku/python",),
    ),
    "buildpacks:remove": RemoteVerb(
        "Remove a buildpack.", "resources.remove_buildpack", "[BUILDPACK]...", (*COMMON, INDEX), "",
        ("procman buildpacks:remove -a demo heroku/nodejs",),
    ),
    "buildpacks:clear": RemoteVerb("Let buildpacks be detected again.", "resources.clear_buildpacks", None, COMMON),
    "certs": RemoteVerb("List an app's certificates.", "resources.CERTS.list", None, COMMON),
    "certs:add": RemoteVerb(
        "Serve an app's domains with a certificate.", "domains.add_certificate", "CHAIN KEY", COMMON,
        "All of the app's domains that it covers.", ("procman certs:add -a demo chain.pem key.pem",),
    ),
    "certs:update": RemoteVerb(
        "Put a certificate in another's place.", "domains.update_certificate", "CHAIN KEY",
        (*COMMON, Option("certificate", ("--name",), "NAME", "Which (default: the only one).")),
        "Such as its renewal; the domains stay.", ("procman certs:update -a demo chain.pem key.pem",),
    ),
    "certs:remove": RemoteVerb(
        "Take a certificate away.", "resources.CERTS.remove", "NAME...", COMMON, "",
        ("procman certs:remove -a demo tyranno-1234",),
    ),
    "git:remote": RemoteVerb("Let a git remote lead to an app.", "apps.git_remote", None, COMMON),
    "git:clone": RemoteVerb("Clone an app's repository.", "apps.git_clone", "[DIRECTORY]", COMMON),
    "users": RemoteVerb("List a server's users.", "users.listed", None, (JSON,), "", ("procman users",)),
    "users:add": RemoteVerb(
        "Make an account.", "users.add", "EMAIL",
        (Option("admin", ("--admin",), None, "Who may do everything, to every app."), JSON),
        "Prints its first key, this once.", ("procman users:add dev@example.com",),
    ),
    "users:remove": RemoteVerb(
        "Take an account away.", "users.remove", "EMAIL", (JSON,), "", ("procman users:remove dev@example.com",)
    ),
    "keys": RemoteVerb("List your keys.", "users.keys", None, (JSON,), "", ("procman keys",)),
    "keys:add": RemoteVerb(
        "Make a key.", "users.add_key", "[DESCRIPTION]...", (JSON,), "", ("procman keys:add laptop",)
    ),
    "keys:remove": RemoteVerb(
        "Make a key good for nothing.", "users.remove_key", "ID", (JSON,), "", ("procman keys:remove ID",)
    ),
}
ALIASES: Mapping[str, str] = {
    "create": "apps:create",
    "info": "apps:info",
    "destroy": "apps:destroy",
    "rename": "apps:rename",
    "open": "apps:open",
}
SIDES: Mapping[str, Side] = {
    **dict.fromkeys(("start", "check", "env", "kill", "reload", "shutdown", "attach", "explain", "list"), Side.HERE),
    **dict.fromkeys(("install", "export", "forever", "upgrade", "completion", "help", "version"), Side.HERE),
    # a server, as a program of this host, and the way to one elsewhere:
    **dict.fromkeys(("server", "connect", "backup", "restore", "doctor"), Side.HERE),
    **dict.fromkeys(BOTH, Side.EITHER),
    **dict.fromkeys((*REMOTE_VERBS, *ALIASES), Side.SERVER),
}
