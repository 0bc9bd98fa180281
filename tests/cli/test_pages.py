"""Runs the commands in the `console` blocks of the documents, and compares what they print with what the pages show."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from localcluster import LocalCluster
from support.command import Command
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess
from support.waiting import eventually

ROOT = Path(__file__).parents[2]

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: What differs from run to run: times, durations and addresses.
VARIABLE = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+Z|\b(?:\d+[dhms])+\b|\b\d+(?:\.\d+){3}\b)")

#: Commands that only read: what they print follows a moment later, because the operator writes a status once a second.
READING = re.compile(r"kubectl (get|statefulroute (links|pods|routes|slots|whereis)) ")

#: The page that creates the service and its users itself, in no namespace yet. The others begin with them.
FIRST = ROOT / "docs" / "get-started" / "first-route.md"

SERVICE = (
    "kubectl delete podlinks,statefulroutes --all -n play",
    "kubectl apply -f examples/game",
    "kubectl wait statefulroute game -n play --for=jsonpath='{.status.routablePods}'=3 --timeout=60s",
    "kubectl apply -f examples/links",
    "kubectl wait podlinks --all -n play --for=condition=Ready --timeout=60s",
    "kubectl wait statefulroute game -n play --for=jsonpath='{.status.links}'=3 --timeout=60s",
)


@dataclass
class Step:
    """A command of a page, and the lines that the page shows below it; `...` stands for any lines."""

    command: str
    shown: list[str] = field(default_factory=list)

    @property
    def expected(self) -> re.Pattern[str]:
        """What the command prints, with any times, durations, addresses and widths of columns."""
        return re.compile("".join(_pattern(line) for line in self.shown))


def _pattern(line: str) -> str:
    if line == "...":
        return r"(?:.*\n)*"
    words = [
        "".join(r"[\w:.-]+" if number % 2 else re.escape(part) for number, part in enumerate(VARIABLE.split(word)))
        for word in line.split()
    ]
    return r"\s+".join(words) + r"\s*\n"


def steps(page: Path) -> list[Step]:
    """Returns the commands of a page in their order."""
    found: list[Step] = []
    for line in "".join(BLOCK.findall(page.read_text(encoding="utf-8"))).splitlines():
        if line.startswith("$ "):
            found.append(Step(line.removeprefix("$ ")))
        else:
            found[-1].shown.append(line)
    return found


PAGES = sorted((page for page in (ROOT / "docs").rglob("*.md") if steps(page)), key=lambda page: (page != FIRST, page))


@dataclass(frozen=True)
class Terminal:
    """A terminal in a folder that has the examples.

    Attributes:
        folder: its folder.
        environment: its environment variables.
    """

    folder: Path
    environment: dict[str, str]

    def run(self, command: str) -> str:
        """Runs a command with any exit code, and returns what it prints."""
        done = subprocess.run(
            ["bash", "-c", command],  # noqa: S607 - the command of a page
            cwd=self.folder,
            env=self.environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return done.stdout if done.stdout.endswith("\n") or not done.stdout else f"{done.stdout}\n"


@pytest.fixture(scope="module")
def terminal(
    operator: OperatorProcess, installed: Kubectl, cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Terminal]:
    """A terminal, while the operator runs; the namespace of the pages exists only for the tests of this module."""
    del operator, installed  # they must be there
    folder = tmp_path_factory.mktemp("pages")
    (folder / "examples").symlink_to(ROOT / "examples")
    opened = Terminal(folder, Command(cluster.kubeconfig, "play").environment)
    yield opened
    opened.run("kubectl delete podlinks,statefulroutes --all -n play")
    opened.run("kubectl delete namespace play --wait=false")


def test_pages_with_commands_are_found() -> None:
    assert FIRST in PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_print_what_the_page_shows(page: Path, terminal: Terminal) -> None:
    for command in () if page == FIRST else SERVICE:
        terminal.run(command)
    for step in steps(page):
        printed = _output(step, terminal)
        assert step.expected.fullmatch(printed), f"{step.command}\n{printed}\ndiffers from\n{step.shown}"


def _output(step: Step, terminal: Terminal) -> str:
    """Returns what a command prints; repeats one that only reads until it prints what the page shows."""
    printed = [terminal.run(step.command)]

    def prints_it() -> bool:
        printed.append(terminal.run(step.command))
        return step.expected.fullmatch(printed[-1]) is not None

    if READING.match(step.command) and not step.expected.fullmatch(printed[0]):
        with suppress(TimeoutError):
            eventually(prints_it, step.command, seconds=30, poll_seconds=1)
    return printed[-1]
