"""The story that the demo tells, step by step; every line of it is typed and answered for real."""

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

#: How long the watches get to show the last of a step before the next one begins.
PAUSE_SECONDS = 0.7

FOREIGN_FILE = "examples/refused/another-namespace.yaml"


class Walkthrough:
    """Tells the story on a stage.

    Args:
        stage: The control plane.
        screen: Where to tell it.
        observer: Sees what comes of it.
    """

    def __init__(self, stage: Environment, screen: Screen, observer: Observer) -> None:
        self._environment = stage
        self._screen = screen
        self._observer = observer

    def run(self) -> None:
        """Tell it to the end.

        Raises:
            UnexpectedError: Something did not come about.
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
        self._screen.step(f"A stateful service of {PODS} pods, and the StatefulRoute that lets users be bound to them")
        self._run_and_show("apply", "-f", "examples/game")
        self._observer.follow()
        self._screen.open_panel(self._observer.snapshot)
        self._wait_for(ROUTE_READY)

    def _bind_users(self) -> None:
        self._screen.step("Who is where, as it happens")
        self._screen.command(f"kubectl get podlinks --watch -n {NAMESPACE} &")
        self._observer.show_watch()
        for title, file, expected in (
            ("Alice's state is on game-2: her link says so", "pinned", PINNED_BOUND),
            ("Bob may be anywhere: the operator chooses", "chosen", CHOSEN_BOUND),
            ("A guest is bound for five minutes", "temporary", TEMPORARY_BOUND),
        ):
            self._screen.step(title)
            self._run_and_show("apply", "-f", f"examples/links/{file}.yaml")
            self._wait_for(expected)

    def _refuse_a_foreign_link(self) -> None:
        self._screen.step("A link into another namespace is refused by the API server")
        # A policy counts a moment after it was created, which was long ago here unless the machine is very busy.
        self._wait_until(self._policy_is_idle)
        self._screen.command(f"kubectl apply -f {FOREIGN_FILE}")
        answer = self._environment.kubectl.run("apply", "-f", FOREIGN_FILE)
        for line in answer.lines:
            self._screen.output(line, "red")
        if answer.code == 0 or not answer.stderr.strip().endswith(f": {ONLY_LOCAL_NAMESPACE}"):
            said = " ".join(answer.lines)
            raise UnexpectedError(f"{FOREIGN} was not refused with {ONLY_LOCAL_NAMESPACE!r}, but kubectl said: {said}")
        self._screen.success("refused, as it must be")

    def _policy_is_idle(self) -> str | None:
        tried = self._environment.kubectl.run("apply", "--dry-run=server", "-f", FOREIGN_FILE)
        return None if tried.code != 0 else f"The API server does not refuse {FOREIGN_FILE}."

    def _check_everything(self) -> None:
        self._wait_until(lambda: LINKS_COUNTED.check(self._observer.snapshot))
        self._screen.step("What has become of it, asked of the API server anew")
        self._screen.command(f"kubectl get statefulroutes,podlinks -n {NAMESPACE}")
        for line in self._run("get", "statefulroutes,podlinks", "-n", NAMESPACE).lines:
            self._screen.output(line)
        world = self._read_snapshot()
        for expected in EXPECTATIONS:
            complaint = expected.check(world)
            if complaint is not None:
                raise UnexpectedError(complaint)
            self._screen.success(expected.description)
        self._observer.process_updates(PAUSE_SECONDS)

    def _read_snapshot(self) -> Snapshot:
        answer = self._run("get", "statefulroutes,podlinks", "-n", NAMESPACE, "--output=json")
        return snapshot_of(json.loads(answer.stdout)["items"])

    def _run_and_show(self, *arguments: str) -> None:
        """Show a command of kubectl, run it and show what it prints."""
        self._screen.command(f"kubectl {' '.join(arguments)}")
        for line in self._run(*arguments).lines:
            self._screen.output(line)

    def _run(self, *arguments: str) -> Result:
        answer = self._environment.kubectl.run(*arguments)
        if answer.code != 0:
            raise UnexpectedError(f"kubectl {' '.join(arguments)} failed: {' '.join(answer.stderr.split())}")
        return answer

    def _wait_for(self, expected: Expectation) -> None:
        """Wait until the watches have shown that it is so, then a moment more for what comes with it."""
        self._wait_until(lambda: expected.check(self._observer.snapshot))
        self._observer.process_updates(PAUSE_SECONDS)

    def _wait_until(self, complaint: Callable[[], str | None]) -> None:
        """Show what happens until there is no complaint."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (said := complaint()) is not None:
            self._environment.check_operator()
            if time.monotonic() > deadline:
                raise UnexpectedError(f"{said} That is after {TIMEOUT_SECONDS:.0f} s.")
            self._observer.process_updates(POLL_SECONDS)
