"""Runs the demo: `python -m demo [--gateway envoy|nginx] [--once]`.

It stays up until Ctrl-C; with --once it checks the result and stops.
"""

import argparse
import sys
import time
from contextlib import nullcontext

from rich.console import Console

from demo.environment import NODES, Environment, UnexpectedError, start_environment
from demo.gateway import GATEWAYS, Gateway
from demo.interruption import Interruption
from demo.observer import Observer
from demo.screen import Screen
from demo.suggestions import print_suggestions
from demo.walkthrough import Walkthrough
from localcluster import LocalClusterError

INTERRUPTED = 130
POLL_SECONDS = 1.0
LOG_LINES = 15


def main() -> int:
    """Runs the demo; returns exit code 0 if everything happened as expected."""
    parser = argparse.ArgumentParser(prog="demo", description="Start everything on this machine and watch links bind.")
    parser.add_argument(
        "--once",
        action="store_true",
        help="stop at the end; the exit code is 0 if everything happened as expected",
    )
    parser.add_argument("--gateway", choices=GATEWAYS, help="start a gateway and a server for each pod, too")
    options = parser.parse_args()
    interruption = Interruption()
    interruption.install()
    with Screen(Console(), interruption) as screen:
        try:
            return _run(screen, options.gateway, once=options.once)
        except (UnexpectedError, LocalClusterError) as error:
            screen.failure(str(error))
            return 1
        except KeyboardInterrupt:
            return INTERRUPTED


def _run(screen: Screen, gateway_kind: str | None, *, once: bool) -> int:
    started = time.monotonic()
    screen.step("A Kubernetes control plane, on this machine and only for this demo")
    with start_environment(screen, reachable_pods=gateway_kind is not None) as environment:
        observer = Observer(environment.kubectl, screen)
        try:
            seconds = time.monotonic() - started
            screen.success(f"Kubernetes {environment.cluster.version} with {NODES} Ready nodes, after {seconds:.1f} s")
            Walkthrough(environment, screen, observer).run()
            gateway = None if gateway_kind is None else Gateway(gateway_kind, environment, screen)
            with nullcontext() if gateway is None else gateway.running():
                screen.info(f"everything as expected, {time.monotonic() - started:.0f} s after the start")
                if not once:
                    print_suggestions(screen, environment.kubectl, () if gateway is None else gateway.suggestions())
                    _watch_until_interrupted(environment, observer, gateway)
        except UnexpectedError:
            _show_log(environment, screen)
            raise
        finally:
            Interruption.ignore()  # the cleanup takes a few seconds and must not be interrupted
            observer.stop()
            screen.close()
            screen.info("stopping, and removing everything that was started")
    return 0


def _watch_until_interrupted(environment: Environment, observer: Observer, gateway: Gateway | None) -> None:
    """Shows what happens until Ctrl-C."""
    try:
        while True:
            observer.process_updates(POLL_SECONDS)
            environment.check_operator()
            if gateway is not None:
                gateway.sync()
    except KeyboardInterrupt:
        return


def _show_log(environment: Environment, screen: Screen) -> None:
    """Shows the end of the operator's log, which is removed with the cluster."""
    screen.info(f"the end of {environment.operator_log}:")
    for line in environment.cluster.guardian.log_tail("operator", LOG_LINES).splitlines():
        screen.output(line)


if __name__ == "__main__":
    sys.exit(main())
