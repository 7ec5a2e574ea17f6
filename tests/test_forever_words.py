"""forever's flags, misuse and JSON files."""


import pytest

from tests.forever import STEADY, script


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minuptime", "5", "app.sh"], "cannot use --minuptime: forever has no such flag\n  hint: --minUptime?"),
        (["-m", "none", "app.sh"], "cannot use -m none"),
        (["-m", "0", "app.sh"], "cannot use -m 0"),
        (["-m", "9" * 5000, "app.sh"], "a number of runs is wanted"),
        (["-c", 'sh "', "app.sh"], "cannot use -c 'sh \"': quote never closed\n  hint: -c 'node --inspect'\n"),
        (["-c", "sh \\", "app.sh"], "cannot use -c 'sh \\': it ends with a backslash"),
        (["--minUptime", "1s", "app.sh"], "cannot use --minUptime 1s: milliseconds are wanted"),
        (["--killSignal", "SIGNOT", "app.sh"], "cannot use --killSignal SIGNOT: no such signal"),
        (["--uid", "a/b", "app.sh"], "cannot use --uid 'a/b'"),
        (["--uid", "12", "app.sh"], "cannot use --uid '12'"),
        (["-l"], "cannot use -l: FILE is missing"),
        (["--append=maybe", "app.sh"], "cannot use --append=maybe"),
        (["stop"], "cannot stop: who is meant?"),
        (["start"], "no script is named"),
        (["stopbypid", "shop"], "a process id is wanted"),
        (["stopall", "a"], "cannot stopall a: stopall takes no names\n  hint: procman forever stop a\n"),
        (["restartall", "a"], "cannot restartall a: restartall takes no names\n  hint: procman forever restart a\n"),
        (["list", "a"], "cannot list a: list takes no names\n  hint: procman forever logs a\n"),
        (["cleanlogs", "a"], "cannot cleanlogs a: cleanlogs takes no names\n  hint: procman forever cleanlogs\n"),
    ],
)
def test_misuse_is_refused_with_a_hint(forever, workshop, words, said):
    script(workshop, STEADY)
    answer = forever(*words)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert answer.stdout == ""


@pytest.mark.parametrize("words", [["config"], ["set", "a", "b"], ["clear", "a"], ["columns", "add", "id"]])
def test_what_there_is_no_more_says_so_in_one_line(forever, words):
    answer = forever(*words)
    assert answer.returncode == 1
    assert len(answer.stderr.splitlines()) == 1
    assert answer.stderr.startswith(f"procman: cannot use {words[0]}: ")


def test_flags_stand_before_the_action_too_and_switches_bundle(forever, workshop):
    script(workshop, "echo life\n")
    (workshop.directory / "x.log").write_text("before\n")
    assert forever("-dvas", "-ox.log", "--no-colors", "--plain", "-m2", "app.sh").stdout == ""
    assert (workshop.directory / "x.log").read_text() == "before\nlife\nlife\n"
    script(workshop, STEADY)
    assert forever("--uid", "shop", "start", "app.sh").returncode == 0
    assert forever("-n", "1", "logs", "shop").returncode == 0


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], [], ["start", "--help"]])
def test_help_names_every_action_and_flag(forever, workshop, words):
    from procman.cli.forever.flags import ACTIONS, TABLE

    answer = forever(*words)
    assert answer.returncode == 0
    assert not [word for word in (*ACTIONS, *TABLE) if word not in answer.stdout]
    assert workshop.call("help", "forever").stdout == answer.stdout


def test_a_json_file(forever, workshop):
    script(workshop, "echo $WHO $*; exec sleep 1000\n")
    (workshop.directory / "all.json").write_text(
        """
        [  // two of them: "app.sh" twice
          {
            "uid": "a", "script": "app.sh", "args": ["--url", "http://x//y"], /* not a comment: // */
            "env": {"WHO": "first"}, "minUptime": 0, "killSignal": "SIGINT", "max": 10,
            "append": true, "logFile": "a.log", "watch": false, "killTree": true
          },
          {"uid": "b", "script": "app.sh", "workingDir": "."}
        ]
        """
    )
    assert forever("start", "all.json").returncode == 0
    assert [row["uid"] for row in forever.list()] == ["a", "b"]
    log = forever.follow("a")
    log.wait_for("app.1.: first --url http://x//y$")
    forever("stopall")
    assert "SIGINT" in (workshop.directory / "a.log").read_text()
    (workshop.directory / "one.json").write_text('{"script": "app.sh", "args": "x", "max": 1}')
    script(workshop, "echo $*; exit 6\n")
    answer = forever("one.json", "y")
    assert (answer.returncode, answer.stdout) == (6, "x y\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "script": "a",\n  "minuptime": 5\n}', "x.json:3: no such key as 'minuptime'\n  hint: minUptime?"),
        ('{"script": "a",\n "append": "yes"}', "x.json:2: true or false is wanted for 'append'"),
        ('{"script": "a",\n "max": true}', "x.json:2: a number is wanted for 'max'"),
        ('{"uid": "a"}', "x.json: an object without 'script'"),
        ('{"script": "a"\n "uid": "b"}', "x.json:2: not JSON"),
        ("[]", "x.json: an object, or an array of objects, is wanted"),
        ("[" * 100_000, "cannot read x.json: brackets within brackets, too many"),
        ('{"script": "app.sh",\n "max": "none"}', "x.json:2: 'max' none: a number of runs is wanted, 1 or more\n"),
        ('[{"script": "app.sh", "max": 2},\n {"script": "app.sh",\n "max": "none"}]', "x.json:3: 'max' none: a number"),
        ('{"script": "app.sh",\n "command": "sh \\""}', "x.json:2: 'command' 'sh \"': quote never closed\n"),
        ('{"script": "app.sh",\n "killTTL": "1s"}', "x.json:2: 'killTTL' 1s: milliseconds are wanted\n"),
        ('{"script": "app.sh",\n "env": {"A=B": "x"}}', "x.json:2: no variable can be called 'A=B'\n"),
        ('{"script": "app.sh",\n "env": {"": "x"}}', "x.json:2: no variable can be called ''\n"),
        ('{"script": "app.sh",\n "env": {"N": null}}', "x.json:2: a text is wanted for 'N' of 'env'\n"),
        ('{"script": "app.sh",\n "env": {"N": "\\u0000"}}', "x.json:2: \"\\u0000\" cannot stand in 'N' of 'env'\n"),
        ('{"script": "app.sh",\n "args": ["\\ud800"]}', "x.json:2: \"\\ud800\" cannot stand in 'args'\n"),
        ('{"script": "app.sh",\n "args": [null]}', "x.json:2: a text is wanted for 'args'\n"),
    ],
)
def test_a_mistake_in_a_json_file_is_shown_with_its_line(forever, workshop, text, said):
    script(workshop, STEADY)
    (workshop.directory / "x.json").write_text(text)
    answer = forever("start", "x.json")
    assert answer.returncode == 1
    assert said in answer.stderr
    assert forever.list() == []


def test_values_of_a_json_file_arrive_as_they_stand_there(forever, workshop):
    script(workshop, 'echo "$A $B $C" "$@"\n')
    (workshop.directory / "x.json").write_text(
        '{"script": "app.sh", "max": 1, "env": {"A": true, "B": 5, "C": 1.50}, "args": [false, 8000, "x"]}'
    )
    assert forever("x.json").stdout == "true 5 1.5 false 8000 x\n"


def test_the_command_line_is_to_blame_for_its_own_values(forever, workshop):
    script(workshop, STEADY)
    (workshop.directory / "x.json").write_text('{"script": "app.sh", "max": 2}')
    answer = forever("-m", "none", "x.json")
    assert (answer.returncode, answer.stderr.partition(":")[2].partition(":")[0]) == (2, " cannot use -m none")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"script": "app.sh"}, {"script": "./app.sh"}]', "it names ./app.sh twice"),
        ('[{"script": "app.sh", "uid": "a"}, {"script": "app.sh"}]', "it names app.sh twice"),
        ('[{"script": "app.sh", "uid": "a"}, {"script": "other.sh", "uid": "a"}]', "it names uid a twice"),
    ],
)
def test_a_json_file_that_names_one_twice_starts_none(forever, workshop, text, said):
    script(workshop, STEADY)
    script(workshop, STEADY, "other.sh")
    (workshop.directory / "all.json").write_text(text)
    answer = forever("start", "all.json")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"procman: cannot start all.json: {said}\n")
    assert forever.list() == []
