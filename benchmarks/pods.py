"""Measures what an event costs among few and among many pods, and among no and many links that wait.

    python benchmarks/pods.py [--sizes 10 500 5000] [--waiting 20000] [--events 200] [--rounds 5]

Each variant runs the operator's controllers in this process, with caches that this program fills and writers that only
store. In one service, all pods are full and the links wait for room; in the other one, pods have room and the links
wait for a pod that does not exist. A figure is the CPU time of an event until nothing is left to do.
A status is built after one change of a pod, its load or its links. Its write has no goal: it is bounded by the size of
a status, and is the less frequent the more pods there are. It consists of the patch, of the decoding of the response,
and of what the next status finds different in it.
"""

import asyncio
import gc
import math
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from statistics import mean

from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, alternate, ratio
from measuring.simulated_controllers import SimulatedControllers
from statefulroute.api.vocabulary import ServiceState
from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging

POD_EVENT, LOAD_REPORT, FREED, CHOICE = "µs a pod event", "µs a load report", "µs a freed place", "µs a choice"
STATUS, STATUS_WRITE = "µs a status", "µs a write of a status"
LIMIT = 1.5

_LINKS_PER_POD = 4
_COUNTED = 0.9
_SPEC = {"load": {"staleAfterSeconds": 3600}}


class PodsBenchmark:
    """Measures the events of two services of the same size.

    Args:
        pods: the number of pods.
        waiting: how many links wait.
        events: how many events of each kind a round has.
    """

    def __init__(self, pods: int, waiting: int, events: int) -> None:
        self._pods = pods
        self._waiting = waiting
        self._events = events
        self._full = SimulatedControllers(pods, {**_SPEC, "placement": {"maxLinksPerPod": _LINKS_PER_POD}})
        self._open = SimulatedControllers(pods, _SPEC)
        self._random = random.Random(1)
        self._next_user = 0
        self._bound: list[str] = []
        self._waiting_users: deque[str] = deque()
        self._status_changes = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Creates the links, and reconciles them while the context is open."""
        for index in range(self._pods * _LINKS_PER_POD):
            for service in (self._full, self._open):
                service.put_link(f"bound-{index}", index % self._pods)
            self._bound.append(f"bound-{index}")
        async with self._full.running(), self._open.running():
            for number in range(self._waiting):
                self._add_waiting_link()
                self._open.put_link(f"waiting-{number}", self._pods)
            await self._full.idle()
            await self._open.idle()
            yield

    async def measure(self) -> Figures:
        """Runs one round."""
        self._open.write_status(self._open.build_status())
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            return {
                POD_EVENT: await self._time(self._full, self._change_pod),
                LOAD_REPORT: await self._time(self._open, self._report_load),
                CHOICE: await self._time(self._open, self._create_link),
                FREED: await self._time(self._full, self._free_place, self._add_waiting_link),
                STATUS: await self._time(self._open, self._build_status, self._change_anything),
                STATUS_WRITE: await self._time(self._open, self._write_status, self._change_and_build, share=20),
            }
        finally:
            gc.enable()

    async def _time(
        self,
        service: SimulatedControllers,
        event: Callable[[int], None],
        prepare: Callable[[], None] = lambda: None,
        share: int = 1,
    ) -> float:
        """Returns the mean CPU time of a share of the events, in microseconds, without the longest tenth of them.

        The longest ones are those after which another process has used the caches of the processor.
        """
        seconds = []
        for number in range(max(1, self._events // share)):
            prepare()
            await service.idle()
            started = time.process_time()
            event(number)
            await service.idle()
            seconds.append(time.process_time() - started)
        return mean(sorted(seconds)[: math.ceil(len(seconds) * _COUNTED)]) * 1e6

    def _change_pod(self, number: int) -> None:
        """Lets a pod become not ready, and ready again."""
        if number % 2 == 0:
            self._changed_pod = self._random.randrange(self._pods)
        self._full.put_pod(self._changed_pod, ServiceState.READY if number % 2 else ServiceState.NOT_READY)

    def _report_load(self, _: int) -> None:
        self._open.put_pod(self._random.randrange(self._pods), load=self._random.randrange(100))

    def _create_link(self, _: int) -> None:
        self._next_user += 1
        self._open.put_link(f"user-{self._next_user}")

    def _add_waiting_link(self) -> None:
        self._waiting_users.append(f"user-{self._next_user}")
        self._full.put_link(self._waiting_users[-1])
        self._next_user += 1

    def _free_place(self, _: int) -> None:
        """Deletes a link of a full pod, whose place the oldest link takes that waits."""
        self._full.delete_link(self._bound.pop(self._random.randrange(len(self._bound))))
        self._bound.append(self._waiting_users.popleft())

    def _change_anything(self) -> None:
        """Changes a pod, its load or its links."""
        number = self._status_changes = self._status_changes + 1
        if number % 2 == 0:
            self._report_load(number)
        elif number % 4 == 1:
            state = ServiceState.NOT_READY if number % 8 == 1 else ServiceState.READY
            self._open.put_pod(number // 8 % self._pods, state)
        else:
            self._open.put_link(f"status-{number}", self._random.randrange(self._pods))

    def _build_status(self, _: int) -> None:
        self._status = self._open.build_status()

    def _change_and_build(self) -> None:
        self._change_anything()
        self._build_status(0)

    def _write_status(self, _: int) -> None:
        self._open.write_status(self._status)
        self._open.build_status()


async def measure(report: Report) -> None:
    """Runs all rounds."""
    options = report.options
    sizes, waiting = options["sizes"], options["waiting"]
    variants = {f"{size} pods, {waiting} waiting": (size, waiting) for size in sizes}
    variants |= {f"{sizes[0]} pods, none waiting": (sizes[0], 0), f"{sizes[-1]} pods, none waiting": (sizes[-1], 0)}
    async with AsyncExitStack() as stack:
        benchmarks = {name: PodsBenchmark(*size, options["events"]) for name, size in variants.items()}
        for each in benchmarks.values():
            await stack.enter_async_context(each.running())
        turns = {name: partial(each.measure) for name, each in benchmarks.items()}
        report.rounds = await alternate(turns, options["rounds"])
    few, most = (report.rounds[f"{size} pods, {waiting} waiting"] for size in (sizes[0], sizes[-1]))
    report.goals = [
        Goal(f"{figure}, times that of {sizes[0]} pods", ratio(most, few, figure).median, LIMIT)
        for figure in (POD_EVENT, LOAD_REPORT, CHOICE, FREED, STATUS)
    ]
    none = report.rounds[f"{sizes[-1]} pods, none waiting"]  # but the link that takes a freed place
    report.goals += [
        Goal(f"{figure}, times that without waiting links", ratio(most, none, figure).median, LIMIT)
        for figure in (POD_EVENT, FREED)
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__, rounds=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 500, 5000])
    parser.add_argument("--waiting", type=int, default=20_000, help="links")
    parser.add_argument("--events", type=int, default=200, help="of each kind and round")
    options = parser.parse_args()
    set_up_logging(LogLevel.WARNING, LogFormat.JSON)
    report = Report("pods", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
