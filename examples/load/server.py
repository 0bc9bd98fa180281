"""A load endpoint that serves the contents of a file, so that a pod's load can be changed by hand.

A real server counts its users, its games, or the tasks in its queue.
"""

import argparse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

IDLE = b'{"loadState": 0, "waitingTasks": 0, "routingState": "Ready"}'

options = argparse.ArgumentParser()
options.add_argument("--host", default="")
options.add_argument("--port", type=int, default=8080)
options.add_argument("--file", type=Path, default="load.json")
arguments = options.parse_args()


class Load(BaseHTTPRequestHandler):
    """Serves the load at /load, and 404 at any other path."""

    def do_GET(self) -> None:
        """Handles a GET request."""
        self.send_response(200 if self.path == "/load" else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.path == "/load":
            self.wfile.write(arguments.file.read_bytes() if arguments.file.exists() else IDLE)


ThreadingHTTPServer((arguments.host, arguments.port), Load).serve_forever()
