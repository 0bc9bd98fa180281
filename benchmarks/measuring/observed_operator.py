"""Runs an operator that reports what only its own process knows: tasks, stalls of its event loop, and runs of timers.

    python -m measuring.observed_operator KUBECONFIG FILE [--leader-elect]

It replaces the file several times a second by one line of JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import structlog

from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.cli.process import run_process
from statefulroute.controllers import operator
from statefulroute.controllers.assembly import Components, assemble
from statefulroute.controllers.leadership import LeaderElectionSettings
from statefulroute.controllers.settings import Settings

_STALL_SECONDS, _REPORT_SECONDS = 0.005, 0.1
_LEASE_NAMESPACE = "bench-0"


class Observer:
    """Observes the operator of this process.

    Args:
        file: the file to write the observations to.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._components: Components | None = None
        self._stall = 0.0

    def observe_components(self) -> None:
        """Notes the components that the operator assembles."""

        def noting(*parts: Any) -> Components:  # noqa: ANN401 - of another function
            self._components = assemble(*parts)
            return self._components

        vars(operator)["assemble"] = noting

    async def watch_stalls(self) -> None:
        """Records by how much a task of the event loop was late at most since the last report, by CPU time as well."""
        while True:
            started, cpu = time.monotonic(), time.thread_time()
            await asyncio.sleep(_STALL_SECONDS)
            late = time.monotonic() - started - _STALL_SECONDS
            # What other processes have taken of the processor is not this one's.
            self._stall = max(self._stall, min(late, time.thread_time() - cpu))

    async def report(self) -> None:
        """Writes the observations."""
        temporary = self._file.with_suffix(".new")
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            values = {"at": time.monotonic(), "tasks": len(asyncio.all_tasks()), "stall": self._stall, **self._runs()}
            self._stall = 0.0
            temporary.write_text(json.dumps(values))
            temporary.replace(self._file)

    def _runs(self) -> dict[str, float]:
        """Returns how often each timer has run."""
        runs: dict[str, float] = {}
        for collector in self._components.collectors if self._components is not None else ():
            for metric in collector.collect() if type(collector).__name__ == "Histogram" else ():
                for sample in metric.samples:
                    if sample.name == "statefulroute_timer_lag_seconds_count":
                        runs[sample.labels["timer"]] = sample.value
        return runs


async def _run(observer: Observer, settings: Settings) -> None:
    def kill() -> NoReturn:
        raise SystemExit("the work did not end")

    tasks = [asyncio.create_task(observer.watch_stalls()), asyncio.create_task(observer.report())]
    await operator.run(settings, kill)
    for task in tasks:
        task.cancel()


def main() -> None:
    """Runs the operator until it is stopped."""
    set_up_logging(LogLevel.INFO, LogFormat.JSON)
    elects = "--leader-elect" in sys.argv
    election = LeaderElectionSettings(namespace=_LEASE_NAMESPACE) if elects else None
    observer = Observer(Path(sys.argv[2]))
    observer.observe_components()
    settings = Settings(kubeconfig=Path(sys.argv[1]), leader_election=election)
    run_process(lambda: _run(observer, settings), (), structlog.get_logger(__name__))


if __name__ == "__main__":
    main()
