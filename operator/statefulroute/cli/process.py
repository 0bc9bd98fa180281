"""How a process of ours runs and ends."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
import typer
import uvloop

#: Objects until the collector looks through the young ones, and how often it does until it looks through older ones:
#: with Python's own 700 it took a tenth of a start among 100,000 links, of which nothing is ever to be collected.
_COLLECTED_AFTER = (20_000, 10, 10)


def run_process(
    main: Callable[[], Coroutine[Any, Any, None]],
    expected_errors: tuple[type[Exception], ...],
    log: structlog.stdlib.BoundLogger,
) -> None:
    """Run a program until it ends; what ends it otherwise is told of, and the exit code is 1.

    Args:
        main: the program.
        expected_errors: errors whose sentence says what is to be done.
        log: hears of any other.
    """
    # What was imported stays: to look through it took the collector 45 ms each time, and links had to wait.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except expected_errors as error:
        typer.echo(f"statefulroute: {error}", err=True)
        raise typer.Exit(1) from error
    except Exception as error:
        # Python would print it beside the log: in another form, and with uids that are to be hidden.
        log.exception("ended by an unexpected error")
        raise typer.Exit(1) from error
