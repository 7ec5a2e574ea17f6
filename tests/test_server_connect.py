"""``procman connect HOST``, with an ssh that runs here and writes down what it was asked for."""

import os
import shlex

import pytest

SSH = """#!/bin/sh
echo "$*" >> {log}
socket=$2
shift 2
case "$1 $2" in
  "-O check") test -e "$socket" ;;
  "-O exit") rm "$socket" 2>/dev/null ;;
  "-O forward") case "$4" in *:{taken}:*) exit 255 ;; esac ;;
  "-M -f") {open} ;;
  *) test "$1" = box || exit 255; eval "$2" ;;
esac
"""


class Ssh:
    """On PATH as ``ssh``, with a ``procman`` at the other end that says what a server's would."""

    def __init__(self, shop):
        self.shop = shop
        self.bin = shop.directory / "bin"
        self.bin.mkdir()
        self.log = shop.directory / "ssh.log"
        self.authority = shop.directory / "there" / "ca.pem"
        self.authority.parent.mkdir()
        self.authority.write_text("the authority there\n")
        self.env = {"PATH": f"{self.bin}{os.pathsep}{shop.env['PATH']}"}
        self.put("ssh", SSH.format(log=self.log, open='touch "$socket"', taken=0))
        self.says(
            HEROKU_HOST="http://127.0.0.1:5600", HEROKU_GIT_HOST="127.0.0.1:5601", HEROKU_API_KEY="HRKU-there"
        )

    def put(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def says(self, **env: str) -> None:
        lines = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in env.items())
        env = f"test $2 = ca && exec cat {self.authority}\ncat <<'END'\n{lines}\nEND\n"
        self.put("far-procman", f'#!/bin/sh\necho "far $*" >> {self.log}\n{env}')

    def connect(self, *words, status=0):
        done = self.shop.call("connect", "--command", "far-procman", *words, env=self.env)
        assert done.returncode == status, done.stderr
        return done

    def asked(self) -> str:
        return self.log.read_text()


@pytest.fixture
def ssh(workshop):
    return Ssh(workshop)


def test_it_opens_a_tunnel_of_three_ports_and_says_what_eval_understands(ssh):
    text = ssh.connect("box").stdout
    env = dict(shlex.split(line)[1].split("=", 1) for line in text.splitlines())
    assert env["HEROKU_HOST"] == "http://127.0.0.1:5600"
    assert env["HEROKU_API_KEY"] == "HRKU-there"
    authority = env["NODE_EXTRA_CA_CERTS"]
    assert authority != str(ssh.authority)
    with open(authority) as file:
        assert "the authority there\n" in file.read()
    for port in (5600, 5601, 5602):
        assert f"-O forward -L 127.0.0.1:{port}:127.0.0.1:{port} box\n" in ssh.asked()
    assert "HRKU-there" not in ssh.asked()


def test_a_second_time_it_uses_the_connection_that_is_there(ssh):
    ssh.connect("box")
    ssh.connect("box", "--data", "/srv/it's data")
    assert ssh.asked().count("-M -f -N") == 1
    assert "far server env --data /srv/it's data\n" in ssh.asked()


def test_close_ends_the_tunnel(ssh):
    ssh.connect("box")
    assert ssh.connect("--close", "box").stdout == ""
    assert "there is none" in ssh.connect("--close", "box", status=1).stderr
    ssh.connect("box")
    assert ssh.asked().count("-M -f -N") == 2


def test_what_goes_wrong_is_said_with_what_to_type(ssh):
    assert "missing argument 'HOST'" in ssh.connect(status=2).stderr
    assert "one host is wanted" in ssh.connect("box", "other", status=2).stderr
    assert "no such option" in ssh.connect("-oProxyCommand=x", status=2).stderr.lower()
    ssh.says(HEROKU_HOST="http://127.0.0.1:5600")
    assert "printed no addresses there" in ssh.connect("box", status=1).stderr
    ssh.put("far-procman", "#!/bin/sh\necho 'far-procman: none has run there' >&2; exit 3\n")
    said = ssh.connect("box", status=1).stderr
    assert "cannot ask box: far-procman: none has run there" in said
    assert "hint: ssh box far-procman server env" in said


def test_a_port_that_is_taken_here_and_an_ssh_that_cannot_are_told_apart(ssh):
    ssh.put("ssh", SSH.format(log=ssh.log, open='touch "$socket"', taken=5601))
    said = ssh.connect("box", status=1).stderr
    assert "cannot forward port 5601 to box: is it taken here?" in said
    ssh.connect("--close", "box")
    ssh.put("ssh", SSH.format(log=ssh.log, open="exit 255", taken=0))
    assert "cannot connect to box: ssh could not" in ssh.connect("box", status=1).stderr


def test_without_ssh_it_is_said_what_to_install(workshop):
    done = workshop.call("connect", "box", env={"PATH": "/nowhere"})
    assert done.returncode == 1
    assert "there is no ssh program" in done.stderr
