"""Env files: python-dotenv's reading, our findings, and that no finding shows a value."""

import subprocess
import sys
from io import StringIO

import pytest
from dotenv import dotenv_values
from hypothesis import given, settings
from hypothesis import strategies as st

from procman.formats.envfile import parse, read_plain, read_statements

# The same examples every time, however slow the machine.
RIGOROUS = settings(deadline=None, derandomize=True, max_examples=300)

# text, values, findings as "line severity code"
TABLE = [
    ("", {}, []),
    ("\n# note\n", {}, []),
    ("A=1\nB = 2\nexport C=3\n", {"A": "1", "B": "2", "C": "3"}, []),
    ("A=\nB=''\n", {"A": "", "B": ""}, []),
    ("A=a#b\nB=a # note\nC='a # b'\n", {"A": "a#b", "B": "a", "C": "a # b"}, []),
    ('A="one\ntwo"\nB=3\n', {"A": "one\ntwo", "B": "3"}, []),
    ("A=\"a\\nb\"\nB='a\\nb'\n", {"A": "a\nb", "B": "a\\nb"}, []),
    ("A=it's\n", {"A": "it's"}, []),
    ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}, []),
    ("A=1\rB=2\r", {"A": "1", "B": "2"}, []),
    ("A=1\nB=${A}2\nC=${HOME}\n", {"A": "1", "B": "12", "C": "/home/me"}, []),
    ("A=1\nB='${A}'\nC=\"${A}\"\n", {"A": "1", "B": "${A}", "C": "1"}, []),
    ("A=${NOPE:-x}\n", {"A": "x"}, []),
    ("A=${NOPE}\n", {"A": ""}, ["1 warning undefined-variable"]),
    ("A=${NOPE:?stop}\n", {"A": "${NOPE:?stop}"}, ["1 warning unsupported-expansion"]),
    ("A=${NOPE\n", {"A": "${NOPE"}, ["1 warning unsupported-expansion"]),
    ("A=1\nB=$A\nC=$5\n", {"A": "1", "B": "$A", "C": "$5"}, ["2 warning bare-variable"]),
    (
        "A=$(date)\nB=`date`\nC='$(date)'\n",
        {"A": "$(date)", "B": "`date`", "C": "$(date)"},
        ["1 warning command-substitution", "2 warning command-substitution"],
    ),
    ("A=1\nB=2\nA=3\n", {"A": "3", "B": "2"}, ["3 warning duplicate-key"]),
    ("A=1\nexport A\n", {"A": "1"}, ["2 warning export-only"]),
    ("A=x'\n", {"A": "x'"}, ["1 warning stray-quote"]),
    ("\n\nA\n", {}, ["3 error missing-equals"]),
    ("export A\n", {}, ["1 error missing-equals"]),
    ('A=1\n\nB="open\nC=2\n', {"A": "1", "C": "2"}, ["3 error unterminated-quote"]),
    ("A='open\n", {}, ["1 error unterminated-quote"]),
    ("A='x' y\n", {}, ["1 error text-after-quote"]),
    ("A='it''s'\n", {}, ["1 error text-after-quote"]),
    ('A="x\nB="y"\n', {}, ["2 error text-after-quote"]),
    ("1A=x\n", {"1A": "x"}, ["1 error invalid-key"]),
    ("A B=x\n", {}, ["1 error invalid-key"]),
    ("a-b=x\n", {"a-b": "x"}, ["1 error invalid-key"]),
    ('"A"=x\n', {'"A"': "x"}, ["1 error invalid-key"]),
    ("=x\n", {}, ["1 error missing-key"]),
    ("A=\u201cx\u201d\n", {"A": "\u201cx\u201d"}, ["1 error smart-quote"]),
    ("A=1\nB=\0\n", {"A": "1", "B": "\0"}, ["2 error nul-byte"]),
    ("source other\n", {}, ["1 error shell-command"]),
    ("name: value\n", {}, ["1 error unparsable"]),
    ("<<<<<<< HEAD\nA=1\n", {"A": "1"}, ["1 error unparsable"]),
    ("A=1\nplain prose here\n", {"A": "1"}, ["2 error unparsable"]),
]


@pytest.mark.parametrize(("text", "values", "findings"), TABLE)
def test_table(text, values, findings):
    parsed = parse(text.encode(), ".env", {"HOME": "/home/me"})
    assert parsed.values == values
    assert [f"{found.line} {found.severity} {found.code}" for found in parsed.diagnostics] == findings


def test_not_utf8_names_line_and_byte():
    [found] = parse(b"A=1\nB=\xe9\n", ".env.local", {}).diagnostics
    assert str(found).startswith(".env.local:2: error: not UTF-8: byte 0xe9 at byte 3")


def test_lines_say_where_the_effective_value_stands():
    assert parse(b'# x\nA="1\n2"\n\nB=2\nA=3\n', ".env", {}).lines == {"A": 6, "B": 5}


def test_interpolation_can_be_switched_off():
    parsed = parse(b"A=1\nB=${A}${NOPE}\n", ".env", {}, interpolate=False)
    assert parsed.values["B"] == "${A}${NOPE}"
    assert not parsed.diagnostics


def test_earlier_lines_win_over_the_environment():
    assert parse(b"A=file\nB=${A}\n", ".env", {"A": "environment"}).values["B"] == "file"


@pytest.mark.parametrize(
    "text",
    [
        "A='hunter2",
        'A="hunter2" x',
        "hunter2",
        "A-B=hunter2",
        "A=hunter2\nA=hunter2",
        "A=\u201chunter2",
        "A B=hunter2",
        "A=hunter2$(x)${Y",
        "MIIEhunter2+/abcdefghijklmnop==",
        "A=${B}hunter2",
        'A="x\nhunter2" y',
    ],
)
def test_no_finding_shows_a_value(text):
    found = parse(text.encode(), ".env", {}).diagnostics
    assert found
    assert "hunter2" not in " ".join(map(str, found))


STATEMENT = st.one_of(
    st.text(max_size=12),
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["A", "B", "export C", "D ", "1x", ""]),
        st.sampled_from(["=", " = ", "", "=\t"]),
        st.sampled_from(["", "x", "'x'", '"x\\n"', "'x", '"', "x # y", "#x", "${A}", "a'b", "`x`", "$A"]),
        st.sampled_from(["", " ", " # note", "z", "\r"]),
    ),
)


@RIGOROUS
@given(st.lists(STATEMENT, max_size=5).map("\n".join))
def test_dotenv_reads_the_same_values(text):
    """Whatever we accept, python-dotenv reads alike; what it drops or warns about, we refuse."""
    parsed = parse(text.encode(), ".env", {}, interpolate=False)
    if any(found.severity == "error" for found in parsed.diagnostics):
        return
    universal = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    theirs = dotenv_values(stream=StringIO(universal), interpolate=False)
    assert parsed.values == {key: value for key, value in theirs.items() if value is not None}


PLAIN = st.lists(
    st.builds(
        "{}={}{}{}".format,
        st.sampled_from(["A", "B_2", "_c", "é", "2A", "A B", "export D"]),
        st.sampled_from(["", " ", "'", '"']),
        st.text(st.sampled_from("aZ0 =:/.-_'\"\\\\$`#{}é\t"), max_size=6),
        st.sampled_from(["", " ", "'", '"']),
    )
    | st.sampled_from(["", "# note", "  # é"]),
    max_size=3,
)


@settings(RIGOROUS, max_examples=2000)
@given(PLAIN)
def test_plain_files_need_neither_patterns_nor_rules(lines):
    plain = read_plain(lines)
    if plain is not None:
        values, places, findings = read_statements(lines, ".env", {})
        assert {name: value for name, (value, _) in plain.items()} == values
        assert {name: line for name, (_, line) in plain.items()} == places
        assert not findings


def test_most_files_are_plain():
    plain = read_plain(["# keys", "", "A=postgres://u:p@h/db?x=1", "B=\"two words\"", "C='$1 \"x\"'", "D=", "E= x "])
    assert plain == {
        "A": ("postgres://u:p@h/db?x=1", 3), "B": ("two words", 4), "C": ('$1 "x"', 5), "D": ("", 6), "E": ("x", 7),
    }  # fmt: skip
    odd = ("export A=1", "A =1", "A", "A=x # y", "A=${B}", 'A="a\\nb"', "A='x", "A=it's", "2A=x", "A=é", "A='x' y")
    assert not any(read_plain([line]) for line in odd)


@RIGOROUS
@given(st.binary(max_size=60))
def test_never_raises(data):
    parse(data, ".env", {"A": "1"})


def test_the_dotenv_package_itself_is_not_imported():
    code = (
        "import sys; from procman.formats.envfile import parse; parse(b'A=${B}', '.env', {});"
        "assert not {'dotenv', 'dotenv.parser', 'tempfile', 'logging'} & set(sys.modules), list(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
