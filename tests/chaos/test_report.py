"""The page about a run."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from chaos.checker import Violation, check
from chaos.record import FaultPeriod, Record
from chaos.report import write_report
from chaos.statistics import faults_by_kind, moves, operations_by_name
from chaos.test_checker import FRAME, RIGHT, link

RECORD = Record(RIGHT)


def page(record: Record, findings: list[Violation], folder: Path) -> str:
    """The report of a record."""
    write_report(record, findings, folder / "report.html")
    return (folder / "report.html").read_text()


def test_a_run_in_which_everything_is_right_has_a_green_report(tmp_path: Path) -> None:
    text = page(RECORD, check(RECORD), tmp_path)
    assert "The checker found nothing wrong." in text
    assert "seed 1" in text


def test_what_is_wrong_is_told_at_the_top(tmp_path: Path) -> None:
    record = Record([*FRAME, link(120, 12, 1)])
    text = page(record, check(record), tmp_path)
    assert "The checker has 1 findings." in text
    assert "game.alice went from pod 0 to 1" in text


def test_the_report_needs_no_other_file_and_its_picture_is_well_formed(tmp_path: Path) -> None:
    text = page(RECORD, [], tmp_path)
    assert not re.search(r"(src|href)=|@import|url\(", text)
    picture = ET.fromstring(re.search(r"<svg.*</svg>", text, re.DOTALL)[0])  # type: ignore[index]  # noqa: S314 - ours
    titles = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["healed in 0.0 s after a fault", "a fault, 10.0 s"]


def test_a_name_cannot_become_a_part_of_the_page(tmp_path: Path) -> None:
    text = page(RECORD, [Violation("rule", "<script>game.alice</script>")], tmp_path)
    assert "<script>" not in text


def test_the_figures_are_those_of_the_record() -> None:
    late = Record([*FRAME, link(155, 12, 0, waits=True), link(171, 13, 0)])
    assert [(row.kind, row.number, row.worst_seconds) for row in faults_by_kind(late)] == [("a fault", 1, 11.0)]
    met = Record([*FRAME, FaultPeriod(170, 175, "a fault", 3), FaultPeriod(180, 185, "a fault", 0)])
    assert [(row.number, row.not_hit) for row in faults_by_kind(met)] == [(3, 1)]
    assert [(row.name, row.acknowledged, row.failed) for row in operations_by_name(RECORD)] == [
        ("remove", 1, 0),
        ("set", 1, 0),
    ]
    assert moves(RECORD) == {"created, with a pod": 1, "moved: PodLost": 1, "removed": 1}


def test_a_kind_after_which_somebody_waits_for_ever_is_never_healed() -> None:
    (row,) = faults_by_kind(Record([*FRAME, link(155, 12, 0, waits=True)]))
    assert row.worst_seconds is None
