"""Tests the report of a run."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from chaos.checker import Violation, check
from chaos.figures import faults_by_kind, moves, operations_by_name
from chaos.record import FaultPeriod, Record
from chaos.report import write_report
from chaos.test_checker import COMPLETE_RUN, FRAME, link

RECORD = Record(COMPLETE_RUN)


def page(record: Record, violations: list[Violation], folder: Path) -> str:
    """Returns the report of a record."""
    write_report(record, violations, folder / "report.html")
    return (folder / "report.html").read_text()


def test_report_of_a_run_without_violations_is_green(tmp_path: Path) -> None:
    text = page(RECORD, check(RECORD), tmp_path)
    assert "The checker found no violations." in text
    assert "seed 1" in text


def test_report_lists_violations_at_the_top(tmp_path: Path) -> None:
    record = Record([*FRAME, link(120, 12, 1)])
    text = page(record, check(record), tmp_path)
    assert "The checker found 1 violations." in text
    assert "game.alice moved from pod 0 to 1" in text


def test_report_needs_no_other_file_and_its_drawing_is_well_formed(tmp_path: Path) -> None:
    text = page(RECORD, [], tmp_path)
    assert not re.search(r"(src|href)=|@import|url\(", text)
    picture = ET.fromstring(re.search(r"<svg.*</svg>", text, re.DOTALL)[0])  # type: ignore[index]  # noqa: S314 - ours
    titles = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["recovered in 0.0 s after a fault", "a fault, 10.0 s"]


def test_names_are_escaped_in_the_report(tmp_path: Path) -> None:
    text = page(RECORD, [Violation("rule", "<script>game.alice</script>")], tmp_path)
    assert "<script>" not in text


def test_figures_match_the_record() -> None:
    late = Record([*FRAME, link(155, 12, 0, waits=True), link(171, 13, 0)])
    assert [(row.kind, row.number, row.worst_seconds) for row in faults_by_kind(late)] == [("a fault", 1, 11.0)]
    hit = Record([*FRAME, FaultPeriod(170, 175, "a fault", 3), FaultPeriod(180, 185, "a fault", 0)])
    assert [(row.number, row.not_hit) for row in faults_by_kind(hit)] == [(3, 1)]
    assert [(row.name, row.acknowledged, row.failed) for row in operations_by_name(RECORD)] == [
        ("remove", 1, 0),
        ("set", 1, 0),
    ]
    assert moves(RECORD) == {"created, with a pod": 1, "moved: PodLost": 1, "removed": 1}


def test_kind_of_fault_never_recovers_if_a_link_waits_forever() -> None:
    (row,) = faults_by_kind(Record([*FRAME, link(155, 12, 0, waits=True)]))
    assert row.worst_seconds is None
