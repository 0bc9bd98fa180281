"""Observed operations: which requests belong to one."""

import asyncio

from statefulroute.cluster.field_logger import get_logger
from statefulroute.cluster.request_metrics import RequestRecord
from statefulroute.driver.operations import OperationRun, Operations, observe_request

GET, WATCH = RequestRecord("get", "podlinks", 200, 0.01), RequestRecord("watch", "podlinks", 200, 0.01)


async def test_requests_of_the_tasks_of_an_operation_belong_to_it_until_its_end() -> None:
    runs: list[OperationRun] = []
    operations, ended = Operations(get_logger("test"), runs.append), asyncio.Event()

    async def part(*, waits: bool) -> None:
        if waits:
            await ended.wait()
        observe_request(GET)

    observe_request(GET)  # of no operation
    with operations.run("outer"):
        watch = asyncio.create_task(part(waits=True))  # goes on after the operation, as the watches do
        await asyncio.create_task(part(waits=False))
        observe_request(WATCH)
        with operations.run("inner"):
            observe_request(GET)
    observe_request(GET)
    ended.set()
    await watch
    assert [(run.name, [request.record for request in run.requests]) for run in runs] == [
        ("inner", [GET]),
        ("outer", [GET]),
    ]
    assert all(run.started_at <= run.requests[0].ended_at for run in runs)


async def test_concurrent_operations_have_their_own_requests() -> None:
    runs: list[OperationRun] = []
    operations = Operations(get_logger("test"), runs.append)

    async def operation(number: int) -> None:
        with operations.run("read", number=number):
            for _ in range(number):
                await asyncio.sleep(0)
                observe_request(GET)

    await asyncio.gather(*map(operation, range(4)))
    assert {run.arguments["number"]: len(run.requests) for run in runs} == {0: 0, 1: 1, 2: 2, 3: 3}


def test_operations_without_observers_create_no_run() -> None:
    with Operations(get_logger("test"), None).run("read") as outcome:
        outcome.add(pod=1)
    assert not Operations(get_logger("test"), None, None).is_observed
