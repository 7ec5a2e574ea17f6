"""The pure parts of the benchmarks: medians, ratios, the comparison with a report, and the plots."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import comparison, report, svg
from benchmarks.report import Row, marked


def test_a_cell_is_the_median() -> None:
    assert Row("x", "ms", {"procman": [1.0, 9.0, 2.0]}).value("procman") == 2.0


def test_a_ratio_is_above_one_where_procman_is_better() -> None:
    assert comparison.ratios(Row("x", "ms", {"procman": 2.0, "honcho": 8.0})) == {"honcho": 4.0}
    assert comparison.ratios(Row("x", "MB/s", {"procman": 8.0, "honcho": 2.0}, True)) == {"honcho": 4.0}
    assert comparison.ratios(Row("x", "ms", {"procman": 0.0, "honcho": 8.0})) == {}


def test_only_a_loss_of_more_than_a_quarter_is_told() -> None:
    before = [Row("x", "ms", {"procman": 10.0, "honcho": 40.0})]
    assert comparison.losses([Row("x", "ms", {"procman": 13.0, "honcho": 40.0})], before) == []
    (told,) = comparison.losses([Row("x", "ms", {"procman": 14.0, "honcho": 40.0})], before)
    assert told == "x (ms): 2.86 x honcho, was 4 x"


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [Row("x", "ms", {"procman": [1.0, 2.0], "honcho": 3.0}, mark="1")]
    comparison.dump(rows, "two cores", tmp_path / "report.json")
    assert comparison.load(tmp_path / "report.json") == rows
    assert comparison.load(tmp_path / "none.json") == []


def test_a_plot_is_well_formed_whatever_the_names() -> None:
    root = ElementTree.fromstring(svg.bars("a < b & c", "ms", {"procman": 0.0, "<x>": 3.0}))
    assert len(root.findall("{http://www.w3.org/2000/svg}rect")) == 3


def test_a_peer_that_tears_or_loses_lines_is_marked() -> None:
    torn = Row("torn", "lines", {"procman": 0, "honcho": 3}, mark="0")
    rows = [torn, Row("CRLF", "1 = whole", {"nf": 0.0}, mark="1")]
    assert [marked(name, rows) for name in ("procman", "honcho", "nf")] == ["procman", "honcho †", "nf †"]


def test_what_was_learnt_stays_when_the_page_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "PAGE", tmp_path / "benchmarks.md")
    monkeypatch.setattr(report, "PLOTS", tmp_path / "benchmarks")
    (tmp_path / "benchmarks.md").write_text("old\n\n## What was learnt\n\nBy hand.\n")
    report.write([Row("x", "ms", {"procman": 1.0, "honcho": 2.0})], [], [])
    page = (tmp_path / "benchmarks.md").read_text()
    assert page.endswith("![x, ms](benchmarks/x-ms.svg)\n\n## What was learnt\n\nBy hand.\n")
    assert "old" not in page
    assert (tmp_path / "benchmarks" / "x-ms.svg").exists()
