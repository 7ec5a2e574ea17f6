"""The pure parts of the benchmarks: medians, marks, the comparison with a report, the page and its plots."""

import math
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import comparison, lines, report, svg, tables
from benchmarks.__main__ import MEASURES, checked, measured
from benchmarks.apps import App
from benchmarks.bench import Bench, pick
from benchmarks.peers import Manager, Places, readers
from benchmarks.rows import BEST, BEST_WHOLE, FLOOR, YES_OR_NO, Mark, Row, limit, met, tears
from benchmarks.services import own_ways

SVG = "{http://www.w3.org/2000/svg}"


def manager(name: str) -> Manager:
    return Manager(name, "1", lambda _: [name], restarts=True, prefixes=True)


def test_a_cell_is_the_median():
    assert Row("x", "ms", {"procman": [1.0, 9.0, 2.0]}).value("procman") == 2.0
    assert Row("x", "ms", {"procman": []}).value("procman") is None


@pytest.mark.parametrize(
    ("mark", "more_is_better", "said", "comes_to"),
    [
        (Mark(10), False, "≤ 10", 10),
        (Mark(0), False, "0", 0),
        (Mark(0.6, "honcho"), False, "≤ 0.6 x honcho", 24),
        (Mark(1, FLOOR, 2.5), False, "≤ floor + 2.5", 4.5),
        (Mark(0.3, FLOOR), True, "≥ 30% of floor", 0.6),
        (Mark(12, BEST), True, "≥ 12 x best peer", 600),
        (Mark(12, BEST_WHOLE), True, "≥ 12 x best peer that keeps lines whole", 480),
        (Mark(2, "hivemind"), False, "≤ 2 x hivemind", None),
    ],
)
def test_a_mark_says_what_it_is_and_comes_to(mark, more_is_better, said, comes_to):
    row = Row("x", "ms", {"procman": 20.0, "honcho": 40.0, "nf": 50.0, FLOOR: 2.0}, more_is_better)
    assert mark.said(more_is_better) == said
    assert limit(row, mark, {"nf"}) == pytest.approx(comes_to)


def test_all_marks_that_can_be_judged_must_be_met():
    row = Row("x", "ms", {"procman": 20.0, "honcho": 40.0}, marks=(Mark(0.6, "honcho"), Mark(1, "hivemind")))
    assert met(row) is True
    assert met(row._replace(marks=(*row.marks, Mark(19)))) is False
    assert met(row._replace(marks=(Mark(1, "hivemind"),))) is None
    assert met(row._replace(values={"honcho": 1.0})) is None
    assert met(Row("x", "MB/s", {"procman": 20.0}, True, (Mark(19),))) is True


def test_who_tears_lines_is_no_peer_that_keeps_them_whole():
    rows = [
        Row("torn", "lines", {"procman": 0.0, "honcho": 3.0}),
        Row("split writes", YES_OR_NO, {"procman": 1.0, "nf": 0.0}, True),
        Row("CRLF", YES_OR_NO, {"procman": 1.0, "foreman": 0.0}, True),
    ]
    assert tears(rows) == {"honcho", "nf"}
    assert report.marked(rows) == {"honcho", "nf", "foreman"}


def test_a_ratio_is_above_one_where_procman_is_better():
    assert comparison.ratios(Row("x", "ms", {"procman": 2.0, "honcho": 8.0})) == {"honcho": 4.0}
    assert comparison.ratios(Row("x", "MB/s", {"procman": 8.0, "honcho": 2.0}, True)) == {"honcho": 4.0}
    assert comparison.ratios(Row("x", "ms", {"procman": 0.0, "honcho": 8.0})) == {}


def test_only_a_loss_of_more_than_a_quarter_is_told():
    before = [Row("x", "ms", {"procman": 10.0, "honcho": 40.0})]
    assert comparison.losses([Row("x", "ms", {"procman": 13.0, "honcho": 40.0})], before) == []
    (told,) = comparison.losses([Row("x", "ms", {"procman": 14.0, "honcho": 40.0})], before)
    assert told.sentence == "x (ms): 71% of what it was (2.86 x honcho, was 4)"
    assert comparison.losses([Row("y", "ms", {"procman": 99.0, "honcho": 1.0})], before) == []


def test_a_loss_counts_when_it_is_there_a_second_time(monkeypatch: pytest.MonkeyPatch):
    slow, fine = (Row("x", "ms", {"procman": ours, "honcho": 40.0}, section="S") for ours in (99.0, 10.0))
    monkeypatch.setattr(comparison, "load", lambda: [fine])
    bench = Bench([], "python", 1.0, [])
    for second, lost in ((slow, True), (fine, False)):
        monkeypatch.setitem(MEASURES, "x", ("S", lambda _, second=second: iter([second])))
        assert checked(bench, ["x"], [slow], 0.25) is lost


def test_one_peer_that_had_a_good_moment_is_no_loss():
    before = [Row("x", "ms", {"procman": 10.0, "honcho": 40.0, "nf": 40.0, FLOOR: 5.0})]
    now = [Row("x", "ms", {"procman": 10.0, "honcho": 40.0, "nf": 4.0, FLOOR: 5.0})]
    assert comparison.losses(now, before) == []


def test_a_report_is_read_as_it_was_written(tmp_path: Path):
    rows = [Row("x", "ms", {"procman": [1.0, 2.0], "honcho": 3.0}, marks=(Mark(2, "honcho"),), section="S")]
    comparison.dump(report.Run("two cores", rows, failed=["idle"]), tmp_path / "report.json")
    assert comparison.load(tmp_path / "report.json") == rows
    assert comparison.load(tmp_path / "none.json") == []


def test_a_plot_is_well_formed_whatever_the_names_and_no_text_leaves_it():
    panels = [svg.Panel("a < b & c", {"procman": 0.0, "<x>": 3.0}), svg.Panel("long " * 40, {"y": 1e7})]
    root = ElementTree.fromstring(svg.sheet(panels))
    assert len(root.findall(f"{SVG}rect")) == 4  # the paper, and three bars
    for text in root.findall(f"{SVG}text"):
        right = float(text.attrib["x"])
        if text.get("text-anchor") != "end":
            right += svg.LETTER * len(text.text or "")
        assert right <= float(root.attrib["width"])


def test_the_table_has_a_column_for_who_has_a_number_and_tells_what_was_met():
    rows = [Row("x", "ms", {"procman": 1.0, "nf": 4.0, "honcho": 2.0, FLOOR: 0.5}, marks=(Mark(3),), floor="cat")]
    head, _, line = tables.measures(rows, (), {"nf"}).splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "measure", "unit", "procman", "nf †", "honcho", "floor", "procman is better by", "mark", "met",
    ]  # fmt: skip
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "x", "ms", "1", "4", "2", "0.5 (cat)", "2 x honcho", "≤ 3", "yes",
    ]  # fmt: skip


def test_how_lines_are_kept_is_shown_beside_the_speed(tmp_path: Path):
    speed = Row(*report.SPEED, {"procman": 400.0, "nf": 2.0, FLOOR: 900.0}, section="Logs")
    whole = Row("CRLF", YES_OR_NO, {"procman": 1.0, "nf": 0.0}, True, section=report.LINES)
    assert [line.replace(" ", "") for line in report.table([speed, whole], report.LINES).splitlines()[2:]] == [
        "|procman|400|yes|", "|nf|2|**no**|",
    ]  # fmt: skip


def test_the_page_names_what_failed_and_is_missing_and_keeps_what_is_beside_it(tmp_path: Path):
    plots = tmp_path / "benchmarks"
    plots.mkdir()
    (plots / "learnt.md").write_text("By hand.\n")
    (plots / "old-section.svg").write_text("")
    row = Row("x", "ms", {"procman": 1.0, "honcho": 2.0}, marks=(Mark(0.5),), section="Stop, and memory")
    run = report.Run("Two cores.", [row], ["A note."], ["idle (OSError: full)"], ["forego"])
    report.write(run, tmp_path / "benchmarks.md", plots)
    page = (tmp_path / "benchmarks.md").read_text()
    assert "**Failed: idle (OSError: full).**" in page
    assert "procman met 0 of 1 marks.\nNot met: x (ms).\nNot installed, and so not measured: forego." in page
    assert "## Stop, and memory\n" in page and "![Stop, and memory](benchmarks/stop-and-memory.svg)" in page
    assert sorted(path.name for path in plots.iterdir()) == ["learnt.md", "stop-and-memory.svg"]


def test_peers_take_turns_and_one_that_fails_is_left_out_and_named():
    asked: list[str] = []

    def run(who: Manager) -> float:
        asked.append(who.name)
        if who.name == "nf":
            raise TimeoutError("too slow")
        return 1.0

    bench = Bench([manager("procman"), manager("nf"), manager("honcho")], "python", 1.0, [])
    assert bench.turns(bench.managers, 2, run) == {"procman": [1.0, 1.0], "nf": [], "honcho": [1.0, 1.0]}
    assert asked == ["procman", "nf", "honcho", "procman", "honcho"]
    assert bench.notes == ["nf was left out: too slow"]


def test_procmans_own_failure_is_the_measures(monkeypatch: pytest.MonkeyPatch):
    def measure(bench: Bench):
        yield Row("x", "ms", {"procman": 1.0})
        bench.turns(bench.managers, 1, lambda _: Path("/proc/none").read_text())

    monkeypatch.setitem(MEASURES, "broken", ("S", measure))
    monkeypatch.setitem(MEASURES, "fine", ("T", lambda _: iter([Row("y", "ms", {"procman": 2.0})])))
    rows, failed = measured(Bench([manager("procman")], "python", 1.0, []), ["broken", "fine"])
    assert [(row.section, row.measure) for row in rows] == [("S", "x"), ("T", "y")]
    (told,) = failed
    assert told.startswith("broken (FileNotFoundError: ")


def test_what_did_not_come_about_is_no_number():
    assert pick({"a": [(1.0, math.nan), (3.0, 4.0)], "b": [(1.0, math.nan)]}, 1) == {"a": [4.0]}


def test_every_manager_can_be_told_to_run_every_app(tmp_path: Path):
    for number, who in enumerate([*readers(Places(tmp_path, tmp_path, tmp_path)), *own_ways(Places(*[tmp_path] * 3))]):
        for apart in (False, True):
            root = tmp_path / f"{number}{apart}"
            root.mkdir()
            app = App(root, "echo hello", 2, apart, restart=True)
            app.write()
            assert all(isinstance(word, str) for word in who.argv(app))
            assert (root / "Procfile").read_text().count("echo hello") == (2 if apart else 1)


def test_a_dyno_is_a_script_that_runs(tmp_path: Path):
    app = App(tmp_path, "echo $((40+2))")
    app.write()
    assert subprocess.run([app.dyno], check=True, capture_output=True, text=True).stdout == "42\n"


@pytest.mark.parametrize("prefix", ["12:00:01 worker.1 | ", "5:46:47 AM worker.1 |  ", "[worker.1] ", "worker1 | "])
def test_a_line_is_judged_whatever_its_prefix(tmp_path: Path, prefix: str):
    expected = lines.make(tmp_path / "lines", 3)
    first, second, third = (line.encode() for line in expected.decode().splitlines())
    before = prefix.encode()
    verdict = lines.Verdict(expected, 1)
    verdict.read(b"\n".join([b"12:00:00 system   | worker.1 started", before + first, before + third, before]))
    verdict.read(second[:50] + b"\n" + before + lines.END + b"\n")
    assert (verdict.torn, verdict.ended) == (2, 1)
    assert verdict.first_torn == before + third
