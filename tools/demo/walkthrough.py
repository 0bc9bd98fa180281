"""The steps of the demo; every command really runs, and its output is shown."""

import json
import time
from collections.abc import Callable

from demo.environment import Environment, UnexpectedError
from demo.expectations import (
    CHOSEN_BOUND,
    EXPECTATIONS,
    FOREIGN,
    LINKS_COUNTED,
    ONLY_LOCAL_NAMESPACE,
    PINNED_BOUND,
    PODS,
    ROUTE_READY,
    TEMPORARY_BOUND,
    Expectation,
)
from demo.kubectl import Result
from demo.observer import Observer
from demo.screen import Screen
from demo.snapshot import NAMESPACE, Snapshot, snapshot_of

TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.1

#: How long the watches may show the last updates of a step before the next one starts.
PAUSE_SECONDS = 0.7

FOREIGN_FILE = "examples/refused/another-namespace.yaml"


class Walkthrough:
    """Runs the steps of the demo.

    Args:
        environment: The control plane and the operator.
        screen: Where to show the steps.
        observer: Follows the effects.
    """

    def __init__(self, environment: Environment, screen: Screen, observer: Observer) -> None:
        self._environment = environment
        self._screen = screen
        self._observer = observer

    def run(self) -> None:
        """Runs all steps.

        Raises:
            UnexpectedError: Something did not happen as expected.
        """
        self._install()
        self._start_operator()
        self._deploy_the_game()
        self._bind_users()
        self._refuse_a_foreign_link()
        self._check_everything()

    def _install(self) -> None:
        self._screen.step(
            "The two kinds, PodLink and StatefulRoute, and the policy that keeps links in their namespace"
        )
        self._run_and_show("apply", "-f", "crds", "-f", "deploy/admission")
        self._run("wait", "--for=condition=Established", "--timeout=30s", "-f", "crds")

    def _start_operator(self) -> None:
        self._screen.step("The operator")
        self._environment.start_operator()
        self._screen.command("statefulroute operator &")
        self._screen.info(f"its log: {self._environment.operator_log}")

    def _deploy_the_game(self) -> None:
        self._screen.step(f"A stateful service with {PODS} pods, and a StatefulRoute that lets users be bound to them")
        self._run_and_show("apply", "-f", "examples/game")
        self._observer.follow()
        self._screen.open_panel(self._observer.snapshot)
        self._wait_for(ROUTE_READY)

    def _bind_users(self) -> None:
        self._screen.step("The links, as they change")
        self._screen.command(f"kubectl get podlinks --watch -n {NAMESPACE} &")
        self._observer.show_watch()
        for title, file, expected in (
            ("Alice's state is on game-2, and her link requests this pod", "pinned", PINNED_BOUND),
            ("Bob may be on any pod: the operator chooses one", "chosen", CHOSEN_BOUND),
            ("A guest is bound for five minutes", "temporary", TEMPORARY_BOUND),
        ):
            self._screen.step(title)
            self._run_and_show("apply", "-f", f"examples/links/{file}.yaml")
            self._wait_for(expected)

    def _refuse_a_foreign_link(self) -> None:
        self._screen.step("The API server refuses a link to another namespace")
        # A policy takes effect a moment after its creation, which is long ago unless the machine is very busy.
        self._wait_until(self._policy_is_idle)
        self._screen.command(f"kubectl apply -f {FOREIGN_FILE}")
        result = self._environment.kubectl.run("apply", "-f", FOREIGN_FILE)
        for line in result.lines:
            self._screen.output(line, "red")
        if result.code == 0 or not result.stderr.strip().endswith(f": {ONLY_LOCAL_NAMESPACE}"):
            output = " ".join(result.lines)
            raise UnexpectedError(f"{FOREIGN} was not refused with {ONLY_LOCAL_NAMESPACE!r}; kubectl printed: {output}")
        self._screen.success("refused, as expected")

    def _policy_is_idle(self) -> str | None:
        result = self._environment.kubectl.run("apply", "--dry-run=server", "-f", FOREIGN_FILE)
        return None if result.code != 0 else f"The API server does not refuse {FOREIGN_FILE}."

    def _check_everything(self) -> None:
        self._wait_until(lambda: LINKS_COUNTED.check(self._observer.snapshot))
        self._screen.step("The result, read again from the API server")
        self._screen.command(f"kubectl get statefulroutes,podlinks -n {NAMESPACE}")
        for line in self._run("get", "statefulroutes,podlinks", "-n", NAMESPACE).lines:
            self._screen.output(line)
        snapshot = self._read_snapshot()
        for expected in EXPECTATIONS:
            problem = expected.check(snapshot)
            if problem is not None:
                raise UnexpectedError(problem)
            self._screen.success(expected.description)
        self._observer.process_updates(PAUSE_SECONDS)

    def _read_snapshot(self) -> Snapshot:
        result = self._run("get", "statefulroutes,podlinks", "-n", NAMESPACE, "--output=json")
        return snapshot_of(json.loads(result.stdout)["items"])

    def _run_and_show(self, *arguments: str) -> None:
        """Shows a kubectl command, runs it and shows its output."""
        self._screen.command(f"kubectl {' '.join(arguments)}")
        for line in self._run(*arguments).lines:
            self._screen.output(line)

    def _run(self, *arguments: str) -> Result:
        result = self._environment.kubectl.run(*arguments)
        if result.code != 0:
            raise UnexpectedError(f"kubectl {' '.join(arguments)} failed: {' '.join(result.stderr.split())}")
        return result

    def _wait_for(self, expected: Expectation) -> None:
        """Waits until the watches have shown that the expectation is met, then a moment longer."""
        self._wait_until(lambda: expected.check(self._observer.snapshot))
        self._observer.process_updates(PAUSE_SECONDS)

    def _wait_until(self, check: Callable[[], str | None]) -> None:
        """Shows updates until the check passes."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (problem := check()) is not None:
            self._environment.check_operator()
            if time.monotonic() > deadline:
                raise UnexpectedError(f"{problem} That is after {TIMEOUT_SECONDS:.0f} s.")
            self._observer.process_updates(POLL_SECONDS)
