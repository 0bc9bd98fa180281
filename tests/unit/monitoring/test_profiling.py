"""Profiles of the running process: what used the CPU, in every thread, and how they are served."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from aiohttp import ClientSession
from structlog.testing import capture_logs

from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.cpu_profiler import CpuProfiler, Profile
from statefulroute.monitoring.profile_formats import speedscope, table
from statefulroute.monitoring.profiling import serve_profiles
from support.waiting import wait_until


def busy(seconds: float = 0.2) -> None:
    """Uses CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def outer() -> None:
    busy()


@pytest.fixture(autouse=True)
def no_timer_remains() -> Iterator[None]:
    yield
    assert not is_running()


def names(profile: Profile, thread: str) -> set[tuple[str, ...]]:
    """Returns the stacks of a thread, by the names of the functions."""
    return {tuple(code.co_qualname for code in stack) for stack, _ in profile.samples[thread]}


def cpu_time(profile: Profile, thread: str) -> float:
    """Returns the CPU time of a thread, in seconds."""
    return sum(seconds for _, seconds in profile.samples.get(thread, ()))


def test_function_that_uses_the_cpu_is_seen_with_its_callers() -> None:
    profiler = CpuProfiler()
    outer()
    profile = profiler.stop()
    assert any(stack[-2:] == ("outer", "busy") for stack in names(profile, "MainThread"))
    of_busy = sum(seconds for stack, seconds in profile.samples["MainThread"] if stack[-1] is busy.__code__)
    assert of_busy > 0.1


def test_threads_that_use_the_cpu_are_seen_and_those_that_wait_use_none() -> None:
    async def profiled() -> Profile:
        profiler = CpuProfiler()
        with ThreadPoolExecutor(1, thread_name_prefix="works") as executor:
            await asyncio.get_running_loop().run_in_executor(executor, outer)
        return profiler.stop()

    waits = threading.Event()
    waiting = threading.Thread(target=waits.wait, name="waits")
    waiting.start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the processes do
        profile = runner.run(profiled())
    waits.set()
    waiting.join()
    assert any(stack[-2:] == ("outer", "busy") for stack in names(profile, "works_0"))
    assert cpu_time(profile, "waits") < 0.05 < cpu_time(profile, "works_0")


def test_process_that_was_forked_is_seen() -> None:
    program = """
import os
from unit.monitoring.test_profiling import CpuProfiler, names, outer

if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
profiler = CpuProfiler()
outer()
os._exit(not any(stack[-2:] == ("outer", "busy") for stack in names(profiler.stop(), "MainThread")))
"""
    path = {"PYTHONPATH": f"operator{os.pathsep}tests"}
    assert subprocess.run([sys.executable, "-c", program], env=path, check=False).returncode == 0


def test_signal_after_the_end_is_ignored() -> None:
    CpuProfiler().stop()
    os.kill(os.getpid(), signal.SIGPROF)
    busy(0.02)


def made_profile() -> Profile:
    inner, middle = busy.__code__, outer.__code__
    samples = {"MainThread": [((middle, inner), 0.25), ((middle,), 0.5)], "executor": [((inner,), 0.125)]}
    return Profile(cpu_seconds=1.0, samples=samples)


def test_profile_in_the_format_of_speedscope() -> None:
    document = json.loads(speedscope(made_profile(), "a profile"))
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert document["name"] == "a profile"
    assert document["shared"]["frames"] == [
        {"name": code.co_qualname, "file": __file__, "line": code.co_firstlineno}
        for code in (outer.__code__, busy.__code__)
    ]
    common = {"type": "sampled", "unit": "seconds", "startValue": 0}
    assert document["profiles"] == [
        {**common, "name": "MainThread", "endValue": 0.75, "samples": [[0, 1], [0]], "weights": [0.25, 0.5]},
        {**common, "name": "executor", "endValue": 0.125, "samples": [[1]], "weights": [0.125]},
    ]


def test_table_has_the_functions_with_the_most_time_of_their_own_first() -> None:
    first, _, header, *rows, end = table(made_profile(), "a profile").split("\n")
    assert (first, end) == ("a profile: 1.00 s of CPU time", "")
    assert header.split() == ["own", "s", "total", "s", "function"]
    assert [row.split()[:3] for row in rows] == [["0.50", "0.75", "outer"], ["0.38", "0.38", "busy"]]


@asynccontextmanager
async def served() -> AsyncIterator[Any]:
    """Yields a function that sends a request, and returns the status and the text of the response."""
    with capture_logs() as lines:
        async with serve_profiles(BindAddress("127.0.0.1", 0), "operator"), ClientSession() as session:
            (address,) = lines[0]["addresses"]

            async def get(query: str = "", headers: Mapping[str, str] | None = None) -> tuple[int, str]:
                async with session.get(f"http://{address}/debug/profile?{query}", headers=headers) as response:
                    return response.status, await response.text()

            yield get


async def test_profile_is_served() -> None:
    async with served() as get:
        request = asyncio.create_task(get("seconds=1"))
        while not request.done():
            busy(0.01)
            await asyncio.sleep(0.01)
        status, text = await request
        assert status == 200
        assert "busy" in {frame["name"] for frame in json.loads(text)["shared"]["frames"]}
        status, text = await get("seconds=1&format=text")
        assert (status, text.partition(":")[0]) == (200, "statefulroute operator, 1 s")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        *(
            (f"seconds={text}", "seconds must be a whole number from 1 to 300\n")
            for text in ("0", "301", "-1", "1.5", "")
        ),
        ("seconds=" + "9" * 5000, "seconds must be a whole number from 1 to 300\n"),
        ("seconds=\u0661", "seconds must be a whole number from 1 to 300\n"),
        ("format=pprof", "format must be speedscope or text\n"),
    ],
)
async def test_invalid_request_is_refused(query: str, message: str) -> None:
    async with served() as get:
        assert await get(query) == (400, message)


def is_running() -> bool:
    return signal.getitimer(signal.ITIMER_PROF) != (0.0, 0.0)


async def test_host_name_that_may_be_that_of_a_web_page_is_refused() -> None:
    async with served() as get:
        status, text = await get("seconds=1", headers={"Host": "evil.example:6060"})
        assert (status, text) == (403, "the Host must be localhost or an IP address\n")
        assert not is_running()


async def test_only_one_profile_runs_at_a_time() -> None:
    async with served() as get:
        first = asyncio.create_task(get("seconds=1"))
        await wait_until(is_running, "the profile runs")
        assert await get("seconds=1") == (409, "another profile is running: try again when it has ended\n")
        assert (await first)[0] == 200
        assert (await get("seconds=1"))[0] == 200


async def test_profile_ends_when_its_client_has_gone() -> None:
    async with served() as get:
        request = asyncio.create_task(get("seconds=300"))
        await wait_until(is_running, "the profile runs")
        request.cancel()
        await wait_until(lambda: not is_running(), "the profile ends")
        assert (await get("seconds=1"))[0] == 200


async def test_nothing_is_served_without_an_address() -> None:
    with capture_logs() as lines:
        async with serve_profiles(None, "operator"):
            assert lines == []
            assert signal.getsignal(signal.SIGPROF) in {signal.SIG_DFL, signal.SIG_IGN}


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        ("127.0.0.1:6060", True),
        ("127.1.2.3:6060", True),
        ("[::1]:6060", True),
        ("localhost:6060", True),
        (":6060", False),
        ("0.0.0.0:6060", False),
        ("[::]:6060", False),
        ("10.1.2.3:6060", False),
        ("pod.example:6060", False),
    ],
)
def test_addresses_of_loopback_are_known(address: str, *, is_loopback: bool) -> None:
    assert BindAddress.parse(address).is_loopback is is_loopback
