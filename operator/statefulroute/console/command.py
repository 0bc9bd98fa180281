"""`console`: shows and changes routes in the browser."""

import asyncio
import logging
import threading
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from statefulroute.cli.cluster import Cluster, CommandError
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.runner import ClusterOptions, run

if TYPE_CHECKING:
    from aiohttp import web

    from statefulroute.console.security import Access

_LOOPBACK = "127.0.0.1"

#: How long requests may take after Ctrl-C.
_SHUTDOWN_SECONDS = 1.0


@cluster_command()
def console(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0 is a free one.")] = 0,
    address: Annotated[str, typer.Option(help="The address of this machine to listen on.")] = _LOOPBACK,
    browser: Annotated[bool, typer.Option(help="Open the console in a browser.")] = True,
    cluster_options: ClusterOptions,
) -> None:
    """Watch and change routes in the browser, until Ctrl-C."""
    namespace = cluster_options.namespace
    run(cluster_options, lambda cluster: serve_console(cluster, namespace, address, port, open_browser=browser))


async def serve_console(
    cluster: Cluster, namespace: str | None, address: str, port: int, *, open_browser: bool
) -> None:
    """Serve the console until the command is interrupted.

    Args:
        cluster: the cluster, as the user of the console.
        namespace: the only namespace to show; None is for all that the user may read.
        address: the address to listen on.
        port: the port; 0 is a free one.
        open_browser: whether to open a browser.

    Raises:
        CommandError: the port is in use, or the address is not one of this machine.
        ClusterError: the API server does not answer, or the user may read nothing.
    """
    # Imported here because `console --help` does not need the HTTP server.
    from statefulroute.console.namespaces import find_scope  # noqa: PLC0415
    from statefulroute.console.security import Access, is_loopback  # noqa: PLC0415
    from statefulroute.console.server import ConsoleServer  # noqa: PLC0415
    from statefulroute.console.watcher import Watcher  # noqa: PLC0415

    scope = await find_scope(cluster, namespace)
    access = Access(address)
    watcher = Watcher(cluster.client, scope.namespaces)
    application = ConsoleServer(cluster, watcher, scope, access).application()
    async with watcher.run():
        if not is_loopback(address):
            print_message(
                f"warning: {address} can be reached from other machines, without encryption: whoever reads the "
                "address below acts as you",
                err=True,
            )
        await _serve(application, access, address, port, open_browser=open_browser)


async def _serve(
    application: "web.Application", access: "Access", address: str, port: int, *, open_browser: bool
) -> None:
    from aiohttp import web  # noqa: PLC0415 - as above
    from aiohttp.http import HttpProcessingError  # noqa: PLC0415

    # Any program of the machine can send malformed requests, which must not fill the terminal.
    logging.getLogger("aiohttp.server").addFilter(
        lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address, port).start()
        except OSError as error:
            raise CommandError(f"cannot listen on {address}, port {port}: {error.strerror or error}") from error
        host = f"[{address}]" if ":" in address else address
        base = f"http://{host}:{runner.addresses[0][1]}"
        print_message(f"{base}/{access.token}/")
        if open_browser:
            await _open_browser(access, base)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _open_browser(access: "Access", base: str) -> None:
    """Open a browser by a file that is deleted as soon as it has led there."""
    from statefulroute.console.redirect import redirect_file  # noqa: PLC0415 - as above
    from statefulroute.console.security import CODE_SECONDS  # noqa: PLC0415

    code = access.new_code()
    with redirect_file(f"{base}/open/{code.text}") as file:
        # Some browsers end when their window is closed, which must not delay the end of the command.
        threading.Thread(target=webbrowser.open, args=(file,), daemon=True).start()
        try:
            await asyncio.wait_for(code.used.wait(), CODE_SECONDS)
        except TimeoutError:
            print_message("note: no browser has opened the console: open the address above", err=True)
