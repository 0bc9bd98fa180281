"""A page with many links and pods, and moves all the time: what it costs the server and the tab.

`make test-console` runs it with 100,000 links, 200 pods and 100 moves a second for ten minutes.
"""

import logging
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import CDPSession, Page, expect

from support.browser import open_page, running_browser
from support.busy_api_server import running_busy_server
from support.console_process import ConsoleProcess, running_console
from support.scale import scaled
from support.waiting import eventually

LINKS, PODS, MOVES_PER_SECOND = scaled(2_000, 100_000), scaled(40, 200), 100
ROUNDS, PAUSE_SECONDS = scaled(2, 60), scaled(1, 10)

MIB = 2**20
SERVER_BYTES = 250 * MIB

#: Records the longest time from an interaction to the next paint.
MEASURE_INTERACTIONS = """
window.longest = 0;
new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  if (entry.interactionId) window.longest = Math.max(window.longest, entry.duration);
})).observe({ type: "event", durationThreshold: 16, buffered: true });
"""

#: Lets the page wait for links longer than for the time after which it reads them again.
SLOW_LINKS = """
() => {
  const read = window.fetch;
  window.fetch = async (path, options) => {
    if (String(path).includes("/links")) await new Promise((resolve) => setTimeout(resolve, 1700));
    return await read(path, options);
  };
}
"""

log = logging.getLogger(__name__)


def start_moves(server: str) -> None:
    """Lets the links of an API server move."""
    urllib.request.urlopen(f"{server}/start", data=b"", timeout=30).close()  # noqa: S310 - on loopback


def resident_bytes(process: ConsoleProcess) -> int:
    """Returns the memory of a process."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def cpu_seconds(process: ConsoleProcess) -> float:
    """Returns the CPU time of a process so far."""
    fields = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def heap_bytes(session: CDPSession) -> int:
    """Returns the memory of the page's objects after a garbage collection."""
    session.send("HeapProfiler.collectGarbage")
    return int(session.send("Runtime.getHeapUsage")["usedSize"])


def use(page: Page, number: int) -> None:
    """Uses the page as a viewer does: selects a pod, turns the page of its links, and searches a user."""
    tile = page.get_by_role("option").nth(number % PODS)
    tile.click()
    expect(tile).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("navigation", name="Pages of links").get_by_role("button", name="Next").click()
    page.get_by_label("Search by uid").fill(f"user-{number:06}")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Search by uid").fill("")
    expect(page.locator("tbody tr")).to_have_count(50)


def test_stays_small_and_fast_while_links_move(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    with (
        running_busy_server(kubeconfig, LINKS, PODS, MOVES_PER_SECOND) as server,
        running_console(kubeconfig) as console,
        running_browser() as browser,
    ):
        eventually(lambda: console.get("api/routes")["links"] == LINKS, "all links are listed", seconds=120)
        with open_page(browser, f"{console.address}#/routes/play/game") as page:
            session = page.context.new_cdp_session(page)
            expect(page.get_by_role("option")).to_have_count(PODS)
            expect(page.locator("tbody tr")).to_have_count(50)
            page.evaluate(MEASURE_INTERACTIONS)
            start_moves(server)
            use(page, 0)
            heap, cpu, start, largest = heap_bytes(session), cpu_seconds(console), time.monotonic(), 0
            for number in range(1, ROUNDS + 1):
                page.wait_for_timeout(PAUSE_SECONDS * 1000)
                use(page, number)
                largest = max(largest, resident_bytes(console))
            growth = heap_bytes(session) - heap
            cores = (cpu_seconds(console) - cpu) / (time.monotonic() - start)
            log.info(
                "%d links, %d pods, %d moves/s: interaction to next paint at most %.0f ms; tab %.1f MiB, grown by %.1f "
                "MiB; server %.0f MiB, %.2f cores",
                *(LINKS, PODS, MOVES_PER_SECOND, page.evaluate("window.longest")),
                *(heap / MIB, growth / MIB, largest / MIB, cores),
            )
            page.evaluate(SLOW_LINKS)
            page.get_by_label("Search by uid").fill("user-000001")
            expect(page.locator("tbody tr")).to_have_count(1)
    assert largest < SERVER_BYTES
    assert growth < 10 * MIB


def test_says_that_the_api_server_is_away_and_continues_by_itself(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    with ExitStack() as stack:
        browser = stack.enter_context(running_browser())
        with running_busy_server(kubeconfig, links=5, pods=2, moves_per_second=1):
            console = stack.enter_context(running_console(kubeconfig))
            # The checks and the events are read from the API server.
            address = f"{console.address}#/routes/play/game"
            page = stack.enter_context(open_page(browser, address, reports="status of 502"))
            expect(page.get_by_role("option")).to_have_count(2)
        expect(page.get_by_role("alert")).to_contain_text("The API server does not answer")
        expect(page.get_by_role("option")).to_have_count(2)
        with running_busy_server(kubeconfig, links=5, pods=2, moves_per_second=9) as server:
            expect(page.get_by_role("alert")).to_have_count(0)
            start_moves(server)
            expect(page.locator(".kind-moved")).not_to_have_count(0)
