"""`python -m demo [--once]`: tell the story, then stay up until Ctrl-C, or with --once end with a verdict."""

import argparse
import sys
import time

from rich.console import Console

from demo.environment import NODES, Environment, UnexpectedError, start_environment
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
    """Run the demo; gives the exit code: 0 when everything came about as expected."""
    parser = argparse.ArgumentParser(prog="demo", description="Start everything on this machine and watch links bind.")
    parser.add_argument("--once", action="store_true", help="end by itself; the exit code says whether all was well")
    once = parser.parse_args().once
    interruption = Interruption()
    interruption.install()
    with Screen(Console(), interruption) as screen:
        try:
            return _run(screen, once=once)
        except (UnexpectedError, LocalClusterError) as error:
            screen.failure(str(error))
            return 1
        except KeyboardInterrupt:
            return INTERRUPTED


def _run(screen: Screen, *, once: bool) -> int:
    began = time.monotonic()
    screen.step("A Kubernetes control plane, on this machine and for this demo alone")
    with start_environment(screen) as stage:
        observer = Observer(stage.kubectl, screen)
        try:
            took = time.monotonic() - began
            screen.success(f"Kubernetes {stage.cluster.version} with {NODES} Ready nodes, after {took:.1f} s")
            Walkthrough(stage, screen, observer).run()
            screen.info(f"everything as expected, {time.monotonic() - began:.0f} s after the start")
            if not once:
                print_suggestions(screen, stage.kubectl)
                _watch_until_interrupted(stage, observer)
        except UnexpectedError:
            _show_log(stage, screen)
            raise
        finally:
            Interruption.ignore()  # the clearing away takes a few seconds, undisturbed
            observer.stop()
            screen.close()
            screen.info("stopping, and removing everything that was started")
    return 0


def _watch_until_interrupted(stage: Environment, observer: Observer) -> None:
    """Go on showing what happens until Ctrl-C."""
    try:
        while True:
            observer.process_updates(POLL_SECONDS)
            stage.check_operator()
    except KeyboardInterrupt:
        return


def _show_log(stage: Environment, screen: Screen) -> None:
    """The log goes with the cluster: show its end while it is there."""
    screen.info(f"the end of {stage.operator_log}:")
    for line in stage.cluster.guardian.log_tail("operator", LOG_LINES).splitlines():
        screen.output(line)


if __name__ == "__main__":
    sys.exit(main())
