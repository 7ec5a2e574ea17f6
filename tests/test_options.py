"""The two readers of the command line agree, and flags may stand before the verb."""

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procman.cli import group, guesses
from procman.cli.options import (
    GLOBAL,
    OPTIONS,
    STOPS_AT_WORD,
    Given,
    click_params,
    flags_of,
    read_fast,
    verb_first,
)
from procman.cli.options import given as given_of
from procman.cli.verbs import VERBS

# The same examples every time, however slow the machine.
RIGOROUS = settings(deadline=None, derandomize=True, max_examples=300)


def read_with_click(verb, words):
    """What click makes of the same words; None when it refuses them or prints help."""
    params = [*click_params(OPTIONS[verb]), click.Argument(["words"], nargs=-1)]
    command = click.Command(
        verb, params=params, context_settings={"allow_interspersed_args": verb not in STOPS_AT_WORD}
    )
    try:
        parsed = command.make_context(verb, list(words)).params
    except (click.ClickException, click.exceptions.Exit):
        return None
    arguments = parsed.pop("words")
    return given_of(parsed, arguments)


FLAGS = sorted({flag for options in OPTIONS.values() for flag in flags_of(options)})
WORD = st.one_of(
    st.sampled_from(FLAGS),
    st.sampled_from(
        ["web", "web=2", "5000", "--", "-", "", "--help", "--nope", "-pq", "-p5000", "-mweb=2", "-z"]
    ),
    st.builds("{}={}".format, st.sampled_from(FLAGS), st.sampled_from(["", "x", "a=b", "-1"])),
    st.text(max_size=5),
)


@pytest.mark.parametrize("arguments", [[], ["web"], ["web", "worker"]])
@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_a_verb_takes_as_many_words_as_click_lets_it_have(name, arguments):
    command = group.build().get_command(click.Context(click.Command("procman")), name)
    try:
        command.make_context(name, list(arguments))
    except click.ClickException:
        assert not VERBS[name].takes(arguments)
    else:
        assert VERBS[name].takes(arguments)


@RIGOROUS
@given(st.sampled_from(sorted(OPTIONS)), st.lists(WORD, max_size=7))
def test_the_fast_reader_never_differs_from_click(verb, words):
    fast = read_fast(verb, words)
    if fast is not None:
        assert fast == read_with_click(verb, words)


@pytest.mark.parametrize(
    ("words", "fields", "arguments"),
    [
        ("", {}, []),
        ("web=2 worker", {}, ["web=2", "worker"]),
        ("-p 5000", {"port": "5000"}, []),
        ("-p5000 web", {"port": "5000"}, ["web"]),
        ("--port=5000 --port 6000", {"port": "6000"}, []),
        ("-m web=2 -c worker=3 --formation=all=1", {"formation": ["web=2", "worker=3", "all=1"]}, []),
        ("-e a,b --env c", {"env_files": ["a,b", "c"]}, []),
        (
            "--no-color --no-timestamps --no-prefix",
            {"color": False, "timestamps": False, "prefix": False},
            [],
        ),
        ("--no-tty --tty --no-interpolate", {"tty": True, "interpolate": False}, []),
        (
            "--restart dev --restart web=max=3 -t worker=5m",
            {"restart": ["dev", "web=max=3"], "grace": ["worker=5m"]},
            [],
        ),
        ("web -- -x", {}, ["web", "-x"]),
    ],
)
def test_plain_command_lines_are_read_without_click(words, fields, arguments):
    assert read_fast("start", words.split()) == Given(fields, arguments)


@pytest.mark.parametrize(
    "words", ["--help", "-h", "--nope", "-p", "--port -x", "--color=yes", "--portt 1", "-qx -", "-"]
)
def test_everything_else_is_left_to_click(words):
    assert read_fast("start", words.split()) is None


def test_run_leaves_the_flags_of_its_command_alone():
    assert read_fast("run", ["-e", "x", "ls", "-l", "--", "-e"]) == Given(
        {"env_files": ["x"]}, ["ls", "-l", "--", "-e"]
    )
    assert read_fast("run", ["--", "ls", "-l"]) == Given({}, ["ls", "-l"])


@pytest.mark.parametrize(
    ("words", "moved"),
    [
        ("-d app -f Procfile.dev start web", "start -d app -f Procfile.dev web"),
        ("--no-color start", "start --no-color"),
        ("--port=5 -e x run ls -l", "run --port=5 -e x ls -l"),
        ("start -d app", "start -d app"),
        ("-d start", "-d start"),
        ("-d app strat", "-d app strat"),
        ("--nope start", "--nope start"),
        ("", ""),
        ("-p 5000 server", "server -p 5000"),
        ("-p 5000 ps", "ps -p 5000"),
        ("-p 5000 logs", "-p 5000 logs"),
        ("-p5000 -f Procfile.dev logs", "-p5000 -f Procfile.dev logs"),
        ("-x web run ls", "-x web run ls"),
    ],
)
def test_flags_before_the_verb_move_behind_it(words, moved):
    assert verb_first(words.split()) == moved.split()


def test_flags_are_unique_in_each_verb():
    for options in OPTIONS.values():
        flags = [flag for option in options for flag in (*option.flags, *option.off)]
        assert len(flags) == len(set(flags))
    assert OPTIONS["start"] == GLOBAL


def invoked(words, capsys):
    status = group.run(words)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize("verb", ["start", "run", "check", "env", "version", "help"])
def test_every_verb_explains_itself_with_an_example(verb, capsys):
    for words in ([verb, "--help"], [verb, "-h"], ["help", verb]):
        status, out, _ = invoked(words, capsys)
        assert status == 0
        assert f"procman {verb}" in out.split("Examples:")[1]


def test_what_others_call_otherwise_means_nothing_here_and_what_is_said_instead_does():
    assert not {*VERBS} & {*guesses.VERBS}
    assert all(read_fast(verb, [flag]) is None for verb, flags in guesses.FLAGS.items() for flag in flags)
    for said in (*guesses.VERBS.values(), *(said for flags in guesses.FLAGS.values() for said in flags.values())):
        verb, *rest = said.split()
        assert {word for word in rest if word.startswith("-")} <= {*flags_of(OPTIONS[verb])}


def test_help_lists_all_options_of_the_table(capsys):
    _, out, _ = invoked(["start", "--help"], capsys)
    for option in OPTIONS["start"]:
        assert option.label in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["strat"], "did you mean 'start'?"),
        (["worker"], "procman start worker"),
        (["start", "--formaton", "a=1"], "--formation"),
        (["start", "-p"], "requires an argument"),
        (["run"], "missing argument 'CMD...'"),
        (["-d", "x", "strat"], "did you mean 'start'?"),
        (["check", "--reveal"], "no such option"),
        (["status"], "did you mean 'ps'?"),
        (["start", "-d"], "hint: procman start --detach"),
        (["logs", "-f"], "hint: procman logs -t"),
        (["ps", "-w"], "hint: procman ps --watch"),
        (["stop", "--all"], "hint: procman stop all"),
        (["stop", "-a"], "hint: procman stop --help"),
        (["restart", "-a"], "hint: procman restart --help"),
        (["-p", "5000", "logs"], "no such option"),
        (["apps:create", "--no-such"], "hint: procman apps:create --help"),
    ],
)
def test_misuse_is_one_line_and_a_hint_with_status_2(words, said, capsys):
    status, out, err = invoked(words, capsys)
    assert (status, out) == (2, "")
    assert err.startswith("procman: cannot use the command line: ")
    assert said in err
    assert err.count("\n") == 2
    assert "hint: procman" in err


def test_a_process_type_that_is_called_like_a_verb_elsewhere_is_guessed_first(tmp_path, capsys):
    (tmp_path / "Procfile").write_text("update: true\nreloadd: true\n")
    for word in ("update", "reloadd"):
        status, _, err = invoked(["-d", str(tmp_path), word], capsys)
        said = f"no verb '{word}': to run that process type: 'procman start {word}'; did you mean 'reload'?"
        assert (status, said in err) == (2, True)
    for word in ("foreman", ""):
        assert invoked(["-d", str(tmp_path), word], capsys)[2].splitlines()[0].endswith(f": no verb '{word}'")
    assert "no verb 'reread': did you mean 'reload'?" in invoked(["-d", str(tmp_path), "reread"], capsys)[2]


@pytest.mark.parametrize("words", [["--version"], ["version"], ["-V"]])
def test_version(words, capsys):
    status, out, _ = invoked(words, capsys)
    assert status == 0
    assert out.startswith("procman 0.")
