"""Measures what each extra costs: the installed size with bytecode, the number of packages, and the time of the import.

    python benchmarks/packages.py [--revisions COMMIT ...] [--rounds 7]

Each extra is installed alone, with the locked versions, into an environment of its own. The import is that of a program
that uses the extra, in CPU time of the whole process; the last row is Python alone. With revisions, those commits
are measured in the same run, with their own locks.
"""

import asyncio
import resource
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, alternate

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
GOAL_MIB = 30.0
SIZE, PACKAGES, IMPORT = "MiB", "packages", "import, CPU ms"

_DRIVERS = "from statefulroute import ClientDriver, ServerDriver\nimport statefulroute.cluster.connection"
_METRICS = f"{_DRIVERS}\nfrom statefulroute import DriverMetrics; DriverMetrics()"
_HAND_OVER = f"{_DRIVERS}\nimport statefulroute.driver.transfer.http_transfer"
_TRACING = f"{_DRIVERS}\nfrom statefulroute import DriverTracing; DriverTracing()"

#: What a program that uses an extra imports.
IMPORTS = {
    "": _DRIVERS,
    "kubeconfig": f"{_DRIVERS}\nimport statefulroute.cluster.full_kubeconfig",
    "metrics": _METRICS,
    "tracing": _TRACING,
    "hand-over": _HAND_OVER,
    "cli": "import statefulroute.cli.commands.links, statefulroute.cluster.connection",
    "operator": "import statefulroute.cli.process, statefulroute.controllers.operator",
    "operator,otlp": (
        "import statefulroute.cli.process, statefulroute.controllers.operator\n"
        "import statefulroute.controllers.monitoring.opentelemetry_traces"
    ),
    "resolver": "import statefulroute.cli.process, statefulroute.resolver.process",
}


def run(*arguments: object) -> None:
    """Runs a program.

    Raises:
        CalledProcessError: it has failed; its output is on the standard error.
    """
    subprocess.run(list(map(str, arguments)), check=True, cwd=ROOT, stdout=sys.stderr)


def extract(revision: str, folder: Path) -> Path:
    """Writes the files of a commit into a folder, and returns it."""
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    run("git", "archive", "--output", archive, revision)
    run("tar", "--extract", "--file", archive, "--directory", folder)
    return folder


def extras(source: Path) -> list[str]:
    """Returns the names in `IMPORTS` that a source has."""
    known = tomllib.loads((source / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return [names for names in IMPORTS if set(filter(None, names.split(","))) <= known.keys()]


def install(source: Path, names: str, folder: Path) -> tuple[Path, Figures]:
    """Installs extras of a source, and returns the environment's Python and the size of its packages."""
    python = folder / "bin" / "python"
    run(UV, "venv", "--quiet", "--python", sys.executable, folder)
    requirement = f"statefulroute[{names}] @ {source.as_uri()}" if names else f"statefulroute @ {source.as_uri()}"
    locked = ("--constraint", source / "requirements" / "dev.txt", "--no-verify-hashes")
    run(UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *locked, requirement)
    (packages,) = folder.glob("lib/python*/site-packages")
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    return python, {SIZE: size / 2**20, PACKAGES: len(list(packages.glob("*.dist-info")))}


def import_milliseconds(python: Path, program: str) -> float:
    """Returns the CPU time of a process that runs a program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(python, "-c", program)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def measure(report: Report, folder: Path) -> None:
    """Installs everything, and then measures the imports in turn."""
    sources = {"": ROOT}
    for number, revision in enumerate(report.options["revisions"]):
        sources[f"{revision}: "] = extract(revision, folder / f"source-{number}")
    programs: dict[str, Callable[[], Awaitable[Figures]]] = {}

    def add(variant: str, python: Path, program: str, sizes: Figures) -> None:
        import_milliseconds(python, program)  # warms the caches of the operating system

        async def figures() -> Figures:
            return {**sizes, IMPORT: import_milliseconds(python, program)}

        programs[variant] = figures

    for prefix, source in sources.items():
        for names in extras(source):
            python, sizes = install(source, names, folder / f"environment-{prefix.strip(': ')}-{names}")
            if prefix and subprocess.run([python, "-c", IMPORTS[names]], check=False, capture_output=True).returncode:
                continue  # that commit has not what is imported
            add(f"{prefix}{names or 'statefulroute'}", python, IMPORTS[names], sizes)
    add("Python alone", Path(sys.executable), "", {SIZE: 0, PACKAGES: 0})
    report.rounds = asyncio.run(alternate(programs, report.options["rounds"]))
    report.goals = [Goal("MiB of statefulroute", report.rounds["statefulroute"][0][SIZE], GOAL_MIB)]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__, rounds=7)
    parser.add_argument("--revisions", nargs="*", default=[], metavar="COMMIT", help="commits to measure, too")
    options = parser.parse_args()
    report = Report("packages", vars(options))
    with tempfile.TemporaryDirectory() as folder:
        measure(report, Path(folder))
    finish(report, options)


if __name__ == "__main__":
    main()
