"""The pages in a real browser, against a real control plane."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from localcluster import LocalCluster
from statefulroute.domain.slots.hashing import slot_of
from support.browser import accessibility_violations, open_page, running_browser
from support.console_process import ConsoleProcess, running_console, status_of
from support.independent_client import PodLink
from support.service import Service
from support.waiting import eventually

#: Uids that are made of HTML, or whose characters change the direction of the text around them.
HOSTILE_UIDS = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "'\"><svg/onload=alert(1)>",
    "\u202egnp.exe",
    "{{constructor.constructor('alert(1)')()}}",
    "مرحبا",
)


#: Counts the dots that fly between tiles.
COUNT_FLIGHTS = """
window.flights = 0;
new MutationObserver((records) => records.forEach((record) => record.addedNodes.forEach((node) => {
  if (node.className === "flight") window.flights += 1;
}))).observe(document.body, { childList: true });
"""


#: Keeps the response to the next request until another value is chosen, and then never answers.
CHOOSE_BEFORE_THE_ANSWER = """
async ([first, second]) => {
  const answer = window.fetch;
  const select = document.querySelector("dialog select");
  const choose = (value) => { select.value = value; select.dispatchEvent(new Event("input", { bubbles: true })); };
  let release;
  const isAsked = new Promise((asked) => {
    window.fetch = async (...request) => {
      window.fetch = () => new Promise(() => {});
      const response = await answer(...request);
      const released = new Promise((resolve) => { release = resolve; });
      asked();
      await released;
      return response;
    };
  });
  choose(first);
  await isAsked;
  choose(second);
  release();
  await new Promise((resolve) => setTimeout(resolve, 500));
}
"""


#: Lets the clock of the page, which the test sets, end the time-outs of requests.
TIMEOUTS_BY_THE_CLOCK = """
AbortSignal.timeout = (milliseconds) => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), milliseconds);
  return controller.signal;
}
"""

#: What the console sends of a route that it does not know before it has read all routes.
NOT_READ_YET = {"isSynced": False, "isCurrent": False, "warning": "cannot connect", "scope": "all namespaces"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, console: ConsoleProcess) -> Iterator[Page]:
    """The first page of the console."""
    with open_page(browser, console.address) as page:
        yield page


@pytest.fixture(autouse=True)
def _cleanup(shared_service: Service) -> Iterator[None]:
    """Restores the route and deletes all links after each test."""
    yield
    shared_service.edit_route(pods=None, routingState=None)
    shared_service.client.delete_all(PodLink, shared_service.namespace)


def open_route(page: Page) -> None:
    """Opens the page of the route from the overview."""
    page.get_by_role("link", name="game").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("game")


def tile(page: Page, pod: int) -> Locator:
    """Returns the tile of a pod."""
    return page.get_by_role("option", name=re.compile(f"^game-{pod},"))


def test_shows_links_that_move_between_pods(page: Page, shared_service: Service) -> None:
    page.evaluate(COUNT_FLIGHTS)
    open_route(page)
    expect(tile(page, 0)).to_have_attribute("aria-label", re.compile("0 links"))
    name = shared_service.link("alice", podIndex=0)
    expect(tile(page, 0)).to_have_attribute("aria-label", re.compile("Ready, 1 link,"))
    shared_service.await_bound(name)
    shared_service.kubectl.run(
        "patch", "podlink", name, "--type=merge", "--patch", '{"spec": {"podIndex": 2}}'
    ).expect_success()
    expect(tile(page, 2)).to_have_attribute("aria-label", re.compile("Ready, 1 link,"))
    expect(page.get_by_role("listitem").filter(has_text="game-0 → game-2")).to_contain_text("alice")
    page.wait_for_function("window.flights > 0")
    expect(page.locator(".flight")).to_have_count(0)  # it has arrived


def test_moves_are_not_animated_when_that_is_switched_off(page: Page, shared_service: Service) -> None:
    page.get_by_role("button", name="Animation").click()
    page.evaluate(COUNT_FLIGHTS)
    open_route(page)
    shared_service.await_bound(shared_service.link("alice", podIndex=0))
    expect(page.get_by_role("listitem").filter(has_text="- → game-0")).to_contain_text("alice")
    assert page.evaluate("window.flights") == 0


def test_is_used_by_keyboard(page: Page, shared_service: Service) -> None:
    shared_service.link_all(["alice", "bob"], podIndex=1)
    page.get_by_role("link", name="game").focus()
    page.keyboard.press("Enter")
    expect(tile(page, 0)).to_be_visible()
    page.keyboard.press("f")
    page.keyboard.type("bo")
    expect(page.get_by_role("cell", name="bob", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name="alice", exact=True)).to_have_count(0)
    tile(page, 0).focus()
    page.keyboard.press("ArrowRight")
    expect(tile(page, 1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(tile(page, 1)).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("region", name="Pod game-1")).to_be_visible()
    page.keyboard.press("Escape")
    expect(tile(page, 1)).to_have_attribute("aria-selected", "false")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Close").focus()
    page.keyboard.press("Enter")
    expect(tile(page, 1)).to_be_focused()


def test_says_that_the_selected_pod_is_gone(page: Page, shared_service: Service) -> None:
    shared_service.set_on_pod_lost("Keep")  # else the operator moves the link away
    name = shared_service.link("alice", podIndex=7)
    open_route(page)
    tile(page, 7).click()
    panel = page.get_by_role("region", name="Pod game-7")
    expect(panel).to_contain_text("Unlisted")
    shared_service.client.delete(PodLink, name, shared_service.namespace)
    expect(panel.get_by_role("status")).to_contain_text("game-7 is not a pod of this route now, and has no links in it")
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_have_count(0)
    shared_service.edit_route(onPodLost=None)


def test_finds_a_user_and_a_route(page: Page, shared_service: Service) -> None:
    shared_service.link_all(["alice", "bob"], podIndex=1)
    expect(page.locator(".figure").filter(has_text="Links")).to_contain_text("2")
    page.get_by_label("Search routes").fill("nothing")
    page.get_by_label("Find a user").fill("BO")  # before the routes are searched
    expect(page.get_by_text("No route matches “nothing”.")).to_be_visible()
    page.get_by_role("link", name="bob").click()
    expect(page.get_by_label("Search by uid")).to_have_value("bob")
    expect(page.get_by_role("cell", name="bob", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name="alice", exact=True)).to_have_count(0)
    page.get_by_role("link", name="Routes").click()
    expect(page.get_by_label("Search routes")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("other")
    expect(page.get_by_text("No route matches “other”.")).to_be_visible()


def test_uids_of_html_and_control_characters_are_only_text(page: Page, shared_service: Service) -> None:
    for uid in HOSTILE_UIDS:
        shared_service.link_encoded(uid, podIndex=0)
    open_route(page)
    users = page.locator("td .uid")
    expect(users).to_have_count(len(HOSTILE_UIDS))
    shown = {json.dumps(text) for text in users.all_text_contents()}
    assert shown == {json.dumps(uid.replace("\u202e", "\\u{202e}")) for uid in HOSTILE_UIDS}
    assert page.locator("main img, main script, td svg[onload]").count() == 0


def confirm(page: Page, preview: str) -> None:
    """Confirms the dialog that is open, once the API server has accepted its dry run."""
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(preview)
    dialog.get_by_role("button").last.click()
    expect(dialog).to_have_count(0)


def test_acts_are_confirmed_after_a_dry_run(page: Page, shared_service: Service) -> None:
    shared_service.await_bound(shared_service.link("alice", podIndex=0))
    shared_service.await_pod(0, links=1)
    open_route(page)
    tile(page, 0).click()
    page.get_by_role("button", name="Drain…").click()
    expect(page.get_by_role("dialog")).to_contain_text("keeps its 1 user")
    confirm(page, "game-0: DenyNewCall, 1 user remains (server dry run)")
    expect(page.locator(".toast")).to_contain_text("game-0: DenyNewCall, 1 user remains")
    expect(tile(page, 0)).to_have_attribute("aria-label", re.compile("No new users"))
    page.get_by_role("button", name="Move alice").click()
    page.get_by_role("dialog").get_by_label("To").select_option("game-2")
    confirm(page, "alice: game-2 (was game-0)")
    expect(tile(page, 2)).to_have_attribute("aria-label", re.compile("1 link,"))
    assert shared_service.route()["spec"]["pods"] == [{"index": 0, "routingState": "DenyNewCall"}]


def test_an_act_that_is_cancelled_or_refused_changes_nothing(page: Page, shared_service: Service) -> None:
    open_route(page)
    before = shared_service.route()["metadata"]["generation"]
    page.get_by_role("button", name="Set state…").click()
    page.get_by_label("Routing state").select_option("Shutdown")
    expect(page.get_by_role("dialog")).to_contain_text("game: Shutdown (was Ready) (server dry run)")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Set state…")).to_be_focused()
    assert shared_service.route()["metadata"]["generation"] == before


def test_the_answer_to_a_dry_run_of_another_value_is_not_shown(page: Page) -> None:
    open_route(page)
    page.get_by_role("button", name="Set state…").click()
    expect(page.get_by_role("dialog")).to_contain_text("(server dry run)")
    page.evaluate(CHOOSE_BEFORE_THE_ANSWER, ["DenyNewCall", "Shutdown"])
    expect(page.locator(".preview")).to_have_text("Asking the API server…")


def test_acts_that_the_viewer_may_not_do_are_hidden(
    browser: Browser, cluster: LocalCluster, shared_service: Service
) -> None:
    shared_service.await_bound(shared_service.link("alice", podIndex=0))
    kubectl = shared_service.kubectl
    rules = ("--verb=get,list,watch", "--resource=statefulroutes.statefulroute.io,podlinks.statefulroute.io")
    kubectl.run("create", "role", "reader", *rules).expect_success()
    kubectl.run("create", "rolebinding", "reader", "--role=reader", "--user=reader").expect_success()
    options = ("--namespace", shared_service.namespace, "--as", "reader")
    with (
        running_console(cluster.kubeconfig, *options) as own,
        open_page(browser, own.address) as page,
    ):
        open_route(page)
        tile(page, 0).click()
        expect(page.get_by_role("cell", name="alice", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="…")).to_have_count(0)


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 360)])
def test_has_no_accessibility_violations(
    browser: Browser, console: ConsoleProcess, shared_service: Service, theme: str, width: int
) -> None:
    shared_service.edit_route(pods=[{"index": 1, "routingState": "DenyNewCall"}])
    shared_service.await_bound(shared_service.link("alice", podIndex=0))
    with open_page(browser, console.address, theme=theme, width=width) as page:
        expect(page.get_by_role("link", name="game")).to_be_visible()
        assert accessibility_violations(page) == []
        open_route(page)
        expect(page.get_by_role("cell", name="alice", exact=True)).to_be_visible()
        tile(page, 1).click()
        assert accessibility_violations(page) == []
        page.get_by_role("button", name="Shut down…").click()
        expect(page.get_by_role("dialog")).to_contain_text("(server dry run)")
        assert accessibility_violations(page) == []
        page.keyboard.press("Escape")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_two_tabs_show_the_same_and_say_when_the_console_has_stopped(
    browser: Browser, cluster: LocalCluster, shared_service: Service
) -> None:
    options = {"reports": "net::ERR_"}
    with (
        running_console(cluster.kubeconfig, "--namespace", shared_service.namespace) as own,
        open_page(browser, own.address, **options) as first,
        open_page(browser, own.address, **options) as second,
    ):
        for page in (first, second):
            expect(page.locator(".connection")).to_contain_text("Live")
        own.stop()
        for page in (first, second):
            expect(page.get_by_role("alert")).to_contain_text("The console does not answer")


def test_says_when_the_console_is_suspended(browser: Browser, cluster: LocalCluster, shared_service: Service) -> None:
    with (
        running_console(cluster.kubeconfig, "--namespace", shared_service.namespace) as own,
        open_page(browser, own.address) as page,
    ):
        page.clock.install()
        page.reload()
        page.evaluate(TIMEOUTS_BY_THE_CLOCK)
        expect(page.locator(".connection")).to_contain_text("Live")
        own.process.send_signal(signal.SIGSTOP)
        try:
            page.clock.run_for(26_000)
            expect(page.get_by_role("alert")).to_contain_text("The console does not answer")
        finally:
            own.process.send_signal(signal.SIGCONT)
        page.clock.run_for(26_000)
        expect(page.locator(".connection")).to_contain_text("Live")


def test_the_browser_is_opened_by_a_private_file_that_works_once(
    browser: Browser, cluster: LocalCluster, shared_service: Service, tmp_path: Path
) -> None:
    recorded, program, home = tmp_path / "arguments", tmp_path / "browser", tmp_path / "home"
    program.write_text(f'#!/bin/sh\necho "$@" > {recorded}.unfinished && mv {recorded}.unfinished {recorded}\n')
    program.chmod(0o755)
    home.mkdir()
    environment = {"BROWSER": f"{program} %s", "HOME": str(home)}
    options = ("--browser", "--namespace", shared_service.namespace)
    with running_console(cluster.kubeconfig, *options, environment=environment) as own:
        eventually(recorded.exists, "the browser is opened")
        address = recorded.read_text().strip()
        assert address.startswith(f"file://{home}/statefulroute-console-")  # and nothing else is on the command line
        content = Path(address.removeprefix("file://")).read_text()
        token = own.address.rstrip("/").rpartition("/")[2]
        assert token not in content
        with open_page(browser, address, reports="status of 401") as page:
            expect(page.get_by_role("heading", level=1)).to_have_text("Routes")
            eventually(lambda: not [*home.iterdir()], "the file is deleted")
            assert "/open/" not in page.url
            assert token not in page.url
            (code,) = {*re.findall(r"http://[^\"]+/open/[\w-]+", content)}
            assert status_of(code) == 403
            expect(page.get_by_role("alert")).to_contain_text("This address is not valid any more")
        assert status_of(own.address) == 200
        assert "warning: the address for the browser was used twice" in own.stop()


def test_says_why_nothing_is_received(browser: Browser, console: ConsoleProcess) -> None:
    with open_page(browser, console.address, reports="status of 503") as page:
        body = "event: snapshot\ndata: " + json.dumps({"connection": NOT_READ_YET}) + "\n\n"
        page.route("**/api/**/stream", lambda route: route.fulfill(content_type="text/event-stream", body=body))
        page.goto(f"{console.address}#/routes/play/late")
        expect(page.get_by_text("Reading late…")).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text("not all routes and links have been read yet. cannot connect")
        page.route("**/api/**/stream", lambda route: route.fulfill(status=503))
        page.route("**/api/health", lambda route: route.fulfill(status=503, json={"message": "too many pages"}))
        expect(page.get_by_role("alert")).to_contain_text("Nothing is received: too many pages.")


def test_shows_slots_and_the_pod_of_a_user_without_a_link(page: Page, shared_service: Service) -> None:
    documents = Service(shared_service.kubectl, shared_service.client, "documents")
    documents.create_pods(2)
    documents.create_route(slots=6)
    page.get_by_role("link", name="documents").click()
    pods = [
        page.get_by_role("option", name=re.compile(f"^documents-{pod},.* 3 links, 3 of them slots")) for pod in (0, 1)
    ]
    for pod in pods:
        expect(pod).to_be_visible()
    expect(page.locator(".figure").filter(has_text="Slots")).to_contain_text("6 of 6 bound")
    expect(page.get_by_text("Next user to")).to_have_count(0)  # the slot of a new user decides
    slot = slot_of("alice", 6)
    place = f"documents-{documents.get(f'documents.x-slot-{slot}')['spec']['podIndex']}"
    row = page.get_by_role("row").filter(has_text=f"slot {slot}")
    expect(row).to_contain_text(place)
    expect(row.get_by_role("button")).to_have_count(0)  # slots are moved by draining pods
    page.get_by_label("Search by uid").fill("alice")
    expect(page.get_by_text(f"The user alice has no link: slot {slot}, at {place}.")).to_be_visible()
    page.get_by_label("Search by uid").fill("slot/")
    expect(page.locator("tbody tr")).to_have_count(6)
    pods[0].click()
    page.get_by_role("button", name="Drain…").click()
    expect(page.get_by_role("dialog")).to_contain_text("Its 3 slots move to other pods")
    confirm(page, "documents-0: DenyNewCall")
    expect(page.get_by_role("option", name=re.compile("^documents-1,.* 6 links, 6 of them slots"))).to_be_visible()
    page.get_by_role("link", name="Routes").click()
    card = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="documents"))
    expect(card).to_contain_text("New users go to the pods of their slots")
    page.get_by_label("Find a user").fill("alice")
    expect(page.get_by_role("link", name=f"alice slot {slot}")).to_contain_text("documents-1")
    page.get_by_role("link", name=f"alice slot {slot}").click()
    expect(page.get_by_label("Search by uid")).to_have_value("alice")
    assert accessibility_violations(page) == []


def test_shows_the_last_hour_as_charts(page: Page) -> None:
    open_route(page)
    chart = page.get_by_role("img", name=re.compile(r"^Links: links now \d, between 0 and \d$"))
    expect(chart.locator("canvas")).to_be_visible()  # the console has run longer than the time between two samples
    assert accessibility_violations(page) == []
