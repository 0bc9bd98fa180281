"""Runs a process of the operator or the resolver: event loop, garbage collector and exit code."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
import typer
import uvloop

#: The thresholds of the garbage collector. With Python's default of 700 objects, collections took a tenth of the start
#: with 100,000 links, and collected nothing.
_GC_THRESHOLDS = (20_000, 10, 10)


def run_process(
    main: Callable[[], Coroutine[Any, Any, None]],
    expected_errors: tuple[type[Exception], ...],
    log: structlog.stdlib.BoundLogger,
) -> None:
    """Run a program until it returns.

    Args:
        main: the program.
        expected_errors: errors whose message says how to fix the cause; it is printed on the standard error.
        log: logs any other error.

    Raises:
        typer.Exit: the program failed; the exit code is 1.
    """
    # Imported modules stay alive: without this, each full collection examined them for 45 ms, and links had to wait.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except expected_errors as error:
        typer.echo(f"statefulroute: {error}", err=True)
        raise typer.Exit(1) from error
    except Exception as error:
        # Python would print it next to the log, in another format and with uids that must be redacted.
        log.exception("exiting after an unexpected error")
        raise typer.Exit(1) from error
