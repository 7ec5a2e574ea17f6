"""What procman prints: whole lines, unharmed, in order, in three formats, to readers of every kind."""

import json
import os
import re
import select
import signal

import pytest

WRITE = "python $CHILDREN/write.py"
ODD = (
    b"nul \0 byte",
    b"\x1b[31mred\x1b[0m",
    b"invalid \xff\xfe utf-8",
    b"split \xc3\xa9 e-acute",
    b"progress 1%\rprogress 2%\rdone",
    b"",
    b"  indented\ttab",
    b"no newline at the end",
)


def messages(running, dyno: str = "a.1") -> list[bytes]:
    """A dyno's lines as bytes, whatever is in them."""
    return re.findall(rb"(?m)^\d\d:\d\d:\d\d %s +\| ([^\n]*)$" % dyno.encode(), running.seen)


def test_odd_bytes_pass_unharmed(workshop):
    workshop.procfile(f"a: {WRITE} odd\n")
    running = workshop.start("--restart", "never")
    assert running.finish() == 0
    assert tuple(messages(running)) == ODD


def test_the_prefix_is_time_padded_name_and_bar(workshop):
    workshop.procfile("web: echo one\nlongername: echo two\n")
    running = workshop.start("--restart", "never")
    running.finish()
    assert re.search(r"(?m)^\d\d:\d\d:\d\d web\.1        \| one$", running.text())
    assert re.search(r"(?m)^\d\d:\d\d:\d\d longername\.1 \| two$", running.text())


def test_prefixes_can_be_left_out(workshop):
    workshop.procfile("a: echo one\n")
    running = workshop.start("--restart", "never", "--no-timestamps")
    running.finish()
    assert re.search(r"(?m)^a\.1     \| one$", running.text())
    running = workshop.start("--restart", "never", "--no-prefix")
    running.finish()
    assert re.search(r"(?m)^one$", running.text())


def test_quiet_types_run_unheard(workshop):
    workshop.procfile("a: echo one\nb: echo two\n")
    running = workshop.start("--restart", "never", "-q", "a")
    running.finish()
    assert running.lines("a.1") == []
    assert running.lines("b.1") == ["two"]
    assert "Process exited with status 0" in running.system("a.1")


@pytest.mark.parametrize("size", [70_000, 1_000_000, 3_000_000])
def test_long_lines_stay_whole(workshop, size):
    workshop.procfile(f"a: {WRITE} long {size}\nb: {WRITE} long {size}\n")
    running = workshop.start("--restart", "never")
    running.finish()
    for dyno in ("a.1", "b.1"):
        assert [(line[:1], len(line)) for line in messages(running, dyno)] == [(b"a", size), (b"b", size), (b"c", size)]


def test_a_line_that_never_ends_costs_bounded_memory(workshop):
    workshop.procfile(f"a: {WRITE} endless 200; echo; echo written; exec sleep 1000\n")
    running = workshop.start()
    size = 0
    while not running.seen.endswith(b"written\n"):
        select.select([running.fd], [], [], 30)
        chunk = os.read(running.fd, 1 << 20)
        assert chunk
        size += chunk.count(b"Z")
        running.seen = (running.seen + chunk)[-4096:]
    status = open(f"/proc/{running.pid}/status").read()
    assert int(re.search(r"VmHWM:\s+(\d+)", status)[1]) < 64 << 10, "kilobytes"
    assert size == 200 << 20
    running.finish(signal.SIGTERM)


def test_nothing_is_lost_torn_or_reordered_under_load(workshop):
    count = 50_000
    workshop.procfile("".join(f"{name}: {WRITE} count {count} {name}\n" for name in "abcd"))
    running = workshop.start("--restart", "never")
    running.finish()
    for name in "abcd":
        assert running.lines(f"{name}.1") == [f"{name} {n:07d} {'.' * 80}" for n in range(count)]


def test_a_reader_that_pauses_loses_nothing_and_blocks_no_stop(workshop):
    count = 100_000  # over 9 MB: more than all buffers on the way
    workshop.procfile(f"a: {WRITE} count {count} a; echo all written; exec sleep 1000\nb: echo b $$; exec sleep 1000\n")
    running = workshop.start("--restart", "always")
    b = int(running.wait_for(r"b (\d+)\n")[1])
    running.wait_for("a 00")
    # Not reading: procman must stop reading too, but still hear of deaths, and its memory stays small.
    handle = os.pidfd_open(b)
    os.kill(b, signal.SIGKILL)
    select.select([handle], [], [], 30)
    os.close(handle)
    running.wait_for(r"b (\d+)\n")
    running.wait_for("all written")
    assert running.finish(signal.SIGTERM) == 143
    assert running.lines("a.1")[:count] == [f"a {n:07d} {'.' * 80}" for n in range(count)]


def test_a_reader_that_never_reads_again_does_not_keep_procman(workshop):
    workshop.procfile("a: yes\n")
    running = workshop.start()
    running.wait_for("y\n")
    handle = os.pidfd_open(running.pid)
    running.signal(signal.SIGTERM)
    assert select.select([handle], [], [], 20)[0], "procman waits for a reader that does not read"
    os.close(handle)
    running.process.wait()


def test_a_closed_reader_ends_all_quietly(workshop):
    workshop.procfile("a: while :; do echo y; done\n")
    running = workshop.start()
    running.wait_for("y\n")
    running.process.stdout.close()
    running.fd = None
    assert running.finish() == 141
    assert running.errors() == ""


def test_a_closed_reader_is_noticed_without_another_line(workshop):
    workshop.procfile("a: echo ready; exec sleep 1000\n")
    running = workshop.start()
    running.wait_for("ready")
    running.process.stdout.close()
    running.fd = None
    assert running.finish() == 141


def test_a_partial_line_shows_and_does_not_corrupt_what_follows(workshop):
    os.mkfifo(workshop.directory / "go")
    workshop.procfile("a: printf 'name? '; read x < go; echo got $x; printf 'more? '; exec sleep 1000\n")
    running = workshop.start()
    running.wait_for(r"a\.1     \| name\? $")
    (workshop.directory / "go").write_text("it\n")
    running.wait_for(r"^got it\n")
    running.wait_for(r"more\? $")
    running.finish(signal.SIGTERM)
    assert re.search(r"(?m)^\d\d:\d\d:\d\d a\.1     \| name\? got it$", running.text())
    assert re.search(r"more\? \n\d\d:\d\d:\d\d procman +\* SIGTERM", running.text())


def test_a_neighbour_breaks_an_open_line_cleanly(workshop):
    os.mkfifo(workshop.directory / "go")
    os.mkfifo(workshop.directory / "on")
    workshop.procfile(
        "a: printf 'begin '; read x < on; echo end; exec sleep 1000\nb: read x < go; echo hello; exec sleep 1000\n"
    )
    running = workshop.start()
    running.wait_for(r"begin $")
    (workshop.directory / "go").write_text("1\n")
    running.wait_for(r"^\n\d\d:\d\d:\d\d b\.1     \| hello\n")
    (workshop.directory / "on").write_text("1\n")
    running.wait_for(r"\d\d:\d\d:\d\d a\.1     \| end\n")
    running.finish(signal.SIGTERM)


def test_json_has_one_object_a_line(workshop):
    workshop.procfile(f"a: {WRITE} odd; echo oops >&2\n")
    running = workshop.start("--restart", "never", "--log-format", "json")
    assert running.finish() == 0
    objects = [json.loads(line) for line in running.seen.splitlines()]
    assert all(set(entry) == {"time", "dyno", "source", "stream", "message"} for entry in objects)
    said = [entry["message"].encode("utf-8", "surrogateescape") for entry in objects if entry["source"] == "app"]
    assert sorted(said) == sorted([*ODD, b"oops"])
    assert {entry["stream"] for entry in objects if entry["message"] == "oops"} == {"stderr"}
    assert any(entry["source"] == "heroku" and entry["message"] == "Process exited with status 0" for entry in objects)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", objects[0]["time"])


def test_heroku_format_reads_like_heroku_logs(workshop):
    workshop.procfile(f"web: {WRITE} long 25000\n")
    running = workshop.start("--restart", "never", "--log-format", "heroku")
    running.finish()
    lines = running.text().splitlines()
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00 (app|heroku)\[[a-z]+(\.1)?\]: .*"
    assert all(re.fullmatch(pattern, line) for line in lines)
    app = [line.partition("app[web.1]: ")[2] for line in lines if "app[web.1]: " in line]
    assert [len(line) for line in app] == [10_000, 10_000, 5_000] * 3
    assert any("heroku[web.1]: Starting process with command" in line for line in lines)


@pytest.mark.parametrize(
    ("flags", "env", "coloured"),
    [
        ([], {}, False),
        (["--color"], {}, True),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "0"}, False),
        (["--no-color"], {"FORCE_COLOR": "1"}, False),
        ([], {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_when_asked_for(workshop, flags, env, coloured):
    workshop.procfile("a: echo plain\n")
    running = workshop.start("--restart", "never", *flags, env=env)
    running.finish()
    assert (b"\x1b[" in running.seen) is coloured


def test_colours_are_stable_and_differ(workshop):
    workshop.procfile("a: echo one\nb: echo two\nc: echo three\n")
    seen = set()
    for _ in range(2):
        running = workshop.start("--restart", "never", "--color")
        running.finish()
        seen.add(tuple(sorted(set(re.findall(rb"(\x1b\[[\d;]+m)\S+ ([abc])\.1 ", running.seen)))))
    (colours,) = seen
    assert len({code for code, _ in colours}) == 3


@pytest.mark.parametrize(("env", "coloured"), [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False)])
def test_on_a_terminal_dynos_have_one_too(workshop, env, coloured):
    workshop.procfile("a: test -t 0 -a -t 1 -a -t 2 && stty size; exec sleep 1000\n")
    running = workshop.start(columns=100, env=env)
    running.wait_for(r"\| ?(\x1b\[0m )?24 (\d+)")
    width = int(re.search(rb"24 (\d+)", running.seen)[1])
    assert width == 100 - len("12:00:00 procman | ")
    assert (b"\x1b[" in running.seen) is coloured
    running.finish(signal.SIGTERM)


def test_a_resize_reaches_the_dynos(workshop):
    from procman.supervisor.terminal import set_size

    workshop.procfile("a: exec python $CHILDREN/window.py\n")
    running = workshop.start("--no-prefix", columns=100)
    running.wait_for("ready")
    set_size(running.terminal, 30, 66)
    running.signal(signal.SIGWINCH)
    running.wait_for("size 30 66")
    running.finish(signal.SIGTERM)


def test_no_tty_gives_pipes(workshop):
    workshop.procfile("a: test -t 1 || echo pipe; exec sleep 1000\n")
    running = workshop.start("--no-tty", columns=80)
    running.wait_for("pipe")
    running.finish(signal.SIGTERM)


def test_a_file_is_appended_to_at_its_own_place(workshop):
    workshop.procfile("a: echo hello\n")
    path = workshop.directory / "log"
    path.write_text("before\n")
    with path.open("a") as log:
        running = workshop.start("--restart", "never", stdout=log)
        assert running.finish() == 0
    text = path.read_text()
    assert text.startswith("before\n")
    assert "| hello\n" in text


def test_a_full_disk_stops_no_dyno(workshop):
    workshop.procfile("a: echo hello; exit 4\n")
    with open("/dev/full", "w") as full:
        running = workshop.start("--restart", "never", stdout=full)
        assert running.finish() == 4
