"""Measures a resolver that is asked for millions of different users of a route with slots."""

import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import count
from pathlib import Path

import aiohttp

from localcluster.ports import free_port
from measuring.bench_service import NAMESPACE, NAMESPACE_PATH, ROUTE, BenchService, json_body, run_concurrently
from measuring.load_generator import FAILED, P50, RATE, LoadGenerator, make_reachable, running_resolver
from measuring.processes import MeasuredProcess
from measuring.report import Goal, Report
from measuring.rounds import Figures, alternate, ratio
from statefulroute.api.group import API_VERSION
from statefulroute.domain.keys import slot_link_name

LINKS, SLOTS = "users with links", "new users, by slots"
AT_RATE = ", at a fixed rate"
PER_CORE = "a second of the resolver's CPU"
FEW, MANY = "MiB after 1,000 users", "MiB after all users"
ASKED, WRITES = "users asked for", "writes"

#: How many users have links of their own, and are asked for again and again.
_LINKED_USERS = 1_000

_SLOTS = 1_024
_BATCH, _CLIENTS, _WARM_UP_BATCHES = 1_000, 4, 400
_LOOKUPS_PER_SECOND = 1_000


async def measure_resolver(report: Report, service: BenchService) -> None:
    """Asks one resolver for `--asked` different users in batches, then for single ones in turns with linked users."""
    options = report.options
    await service.populate(_LINKED_USERS)
    await _bind_slots(service)
    await make_reachable(service)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        async with running_resolver(service.kubeconfig, port, free_port()) as process:
            before = await service.count_writes()
            single = SingleLookups(LoadGenerator(Path(folder), options["seconds"], _LINKED_USERS), url, process)
            await _ask(url, [0] * _WARM_UP_BATCHES)
            await single.ask_for_linked_users()
            few, _ = process.mebibytes
            seconds = await _ask(url, range(0, options["asked"], _BATCH))
            rounds = await alternate(
                {LINKS: single.ask_for_linked_users, SLOTS: single.ask_for_new_users}, options["rounds"]
            )
            many, _ = process.mebibytes
            rounds |= await alternate(single.turns_at_rate(), options["rounds"])
            writes = (await service.count_writes() - before).total()
    asked = {FEW: few, MANY: many, ASKED: options["asked"], "users/s": options["asked"] / seconds, WRITES: writes}
    report.rounds |= rounds | {"one resolver": [asked]}
    per_core = ratio(rounds[SLOTS], rounds[LINKS], PER_CORE).median
    first = ratio(rounds[SLOTS + AT_RATE], rounds[LINKS + AT_RATE], P50).median
    report.goals += [
        Goal("MiB more after all users than after 1,000", many - few, 10.0),
        Goal("look-ups a second of CPU by slots, of those by links", per_core, 1.0, at_least=True),
        Goal("p50 of the first request of a user, of that of users with links", first, 1.1),
        Goal("not answered by 200", sum(each[FAILED] for runs in rounds.values() for each in runs), 0),
        Goal("writes of all look-ups", writes, 0),
    ]


class SingleLookups:
    """Looks up single users: some with links of their own, and others of whom each is asked for once.

    Args:
        generator: sends the requests.
        url: the URL of the resolver.
        process: the resolver.
    """

    def __init__(self, generator: LoadGenerator, url: str, process: MeasuredProcess) -> None:
        self._generator = generator
        self._url = url
        self._process = process
        self._runs = count()

    async def ask_for_linked_users(self) -> Figures:
        """Looks up users with links as fast as the resolver answers."""
        return await self._run_closed_loop(None)

    async def ask_for_new_users(self) -> Figures:
        """Looks up users for whom nobody has asked, as fast as the resolver answers."""
        return await self._run_closed_loop(f"new-{next(self._runs)}")

    def turns_at_rate(self) -> dict[str, Callable[[], Awaitable[Figures]]]:
        """Returns the variants at a fixed rate, by name."""
        linked = self._generator.lookup_targets(self._url)
        return {
            LINKS + AT_RATE: partial(self._generator.run_at_rate, LINKS, _LOOKUPS_PER_SECOND, linked),
            SLOTS + AT_RATE: self._ask_for_new_users_at_rate,
        }

    async def _run_closed_loop(self, new_users: str | None) -> Figures:
        before = self._process.cpu_seconds
        figures = await self._generator.run_closed_loop(self._url, new_users)
        lookups = figures[RATE] * self._generator.seconds
        return {**figures, PER_CORE: lookups / (self._process.cpu_seconds - before)}

    async def _ask_for_new_users_at_rate(self) -> Figures:
        run, requests = next(self._runs), round(_LOOKUPS_PER_SECOND * self._generator.seconds)
        targets = self._generator.lookup_targets(self._url, (f"new-{run}-{number}" for number in range(requests)))
        return await self._generator.run_at_rate(SLOTS, _LOOKUPS_PER_SECOND, targets)


async def _bind_slots(service: BenchService) -> None:
    """Gives the route slots and binds them, as the operator would."""
    await service.edit_route(slots=_SLOTS)

    async def bind(slot: int) -> None:
        spec = {"routeName": ROUTE, "slot": slot, "podIndex": slot % service.pods}
        metadata = {"name": slot_link_name(ROUTE, slot)}
        link = {"apiVersion": API_VERSION, "kind": "PodLink", "metadata": metadata, "spec": spec}
        await service.client.post(f"{NAMESPACE_PATH}/podlinks", json_body(link))
        await service.write_bound_status(f"x-slot-{slot}", slot % service.pods)

    await run_concurrently(bind, range(_SLOTS))
    await service.recorder.wait_until(lambda: len(service.recorder.links) == _LINKED_USERS + _SLOTS)


async def _ask(url: str, batches: Iterable[int]) -> float:
    """Asks for users in batches, each from its first number on; returns the seconds that it takes."""
    path = f"{url}/v1/namespaces/{NAMESPACE}/routes/{ROUTE}/links:batchGet"
    started = time.monotonic()
    async with aiohttp.ClientSession() as session:

        async def ask(first: int) -> None:
            uids = [f"user-of-a-slot-{number}" for number in range(first, first + _BATCH)]
            async with session.post(path, json={"uids": uids}) as response:
                found = (await response.read()).count(b'"boundBy":"Slot"')
            if found != _BATCH:
                raise SystemExit(f"{found} of {_BATCH} users were found: {response.status}")

        await run_concurrently(ask, batches, _CLIENTS)
    return time.monotonic() - started
