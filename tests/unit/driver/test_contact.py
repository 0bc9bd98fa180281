"""The loss of the API server is noticed in time, and ends when everything was read again. The time is simulated."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from statefulroute import CutOff, Reconnected
from statefulroute.driver.contact import ContactMonitor
from support.simulated_loop import SimulatedLoop

LIMIT = 10.0


class Server:
    """An API server that answers, fails or hangs. Its lists take five seconds, unless a test sets another time."""

    def __init__(self) -> None:
        self.probe: Callable[[], Awaitable[None]] = self.answer
        self.probes = self.lists = 0
        self.list_seconds = 5.0
        self.events: list[CutOff | Reconnected] = []
        clock = asyncio.get_running_loop().time
        self.monitor = ContactMonitor(LIMIT, self._probe, self._read_again, self.events.append, clock)

    async def answer(self) -> None:
        await asyncio.sleep(0.01)

    async def fail(self) -> None:
        raise OSError("no route to host")

    async def hang(self) -> None:
        await asyncio.Event().wait()

    async def _probe(self) -> None:
        self.probes += 1
        await self.probe()

    async def _read_again(self) -> float:
        self.lists += 1
        await asyncio.sleep(self.list_seconds)
        return self.list_seconds


def run(work: Callable[[Server], Awaitable[None]]) -> None:
    async def main() -> None:
        server = Server()
        server.monitor.record_contact(0)
        task = asyncio.create_task(server.monitor.run())
        await work(server)
        task.cancel()

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(main())


def test_answers_are_a_few_requests_and_no_event() -> None:
    async def work(server: Server) -> None:
        await asyncio.sleep(100 * LIMIT)
        assert (server.events, server.lists, server.monitor.is_cut_off) == ([], 0, False)
        assert 4 * 100 <= server.probes <= 7 * 100

    run(work)


@pytest.mark.parametrize("trouble", ["fail", "hang"])
def test_silence_is_a_loss_at_the_limit_until_everything_was_read_again(
    trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(server: Server) -> None:
        await asyncio.sleep(100)
        lost_at = asyncio.get_running_loop().time()
        server.probe = getattr(server, trouble)
        await asyncio.sleep(0.7 * LIMIT)
        assert (server.events, server.monitor.is_cut_off) == ([], False)
        await asyncio.sleep(0.3 * LIMIT)
        [loss] = server.events
        assert isinstance(loss, CutOff)
        assert LIMIT <= loss.seconds < 1.01 * LIMIT
        await asyncio.sleep(60)
        assert (len(server.events), server.lists) == (1, 0)
        server.probe = server.answer
        await asyncio.sleep(0.4 * LIMIT)
        assert (server.lists, len(server.events), server.monitor.is_cut_off) == (1, 1, True)
        await asyncio.sleep(5)
        end = server.events[1]
        assert isinstance(end, Reconnected)
        assert not server.monitor.is_cut_off
        assert end.seconds == pytest.approx(asyncio.get_running_loop().time() - lost_at, abs=0.6 * LIMIT)
        await asyncio.sleep(100)
        assert len(server.events) == 2
        [line] = caplog.messages
        assert line.startswith("the API server does not answer seconds=10.0 error=")
        assert ("no route to host" if trouble == "fail" else "TimeoutError") in line

    run(work)


def test_process_that_was_paused_knows_at_once() -> None:
    async def work(server: Server) -> None:
        await asyncio.sleep(100)
        asyncio.get_running_loop()._selector_of_time.seconds += LIMIT  # type: ignore[attr-defined] # noqa: SLF001
        assert server.monitor.is_cut_off
        await asyncio.sleep(0)
        await asyncio.sleep(LIMIT)
        assert [type(event) for event in server.events] == [CutOff, Reconnected]

    run(work)


def test_lists_that_take_longer_than_the_limit_are_not_repeated_for_ever() -> None:
    async def work(server: Server) -> None:
        server.list_seconds = 1.5 * LIMIT
        server.probe = server.fail
        await asyncio.sleep(1.5 * LIMIT)
        server.probe = server.answer
        await asyncio.sleep(100 * LIMIT)
        assert [type(event) for event in server.events] == [CutOff, Reconnected]
        assert (server.lists, server.monitor.is_cut_off) == (1, False)

    run(work)
