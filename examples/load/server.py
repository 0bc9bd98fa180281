"""A pod's load endpoint: it answers what stands in a small file, so that a pod's load can be changed by hand.

Your own server would count instead: its users, its games, the tasks in its queue.
"""

import argparse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

IDLE = b'{"loadState": 0, "waitingTasks": 0, "routingState": "Ready"}'

options = argparse.ArgumentParser()
options.add_argument("--host", default="")
options.add_argument("--port", type=int, default=8080)
options.add_argument("--file", type=Path, default="load.json")
asked = options.parse_args()


class Load(BaseHTTPRequestHandler):
    """GET /load answers with the load, and GET of anything else with 404."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200 if self.path == "/load" else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.path == "/load":
            self.wfile.write(asked.file.read_bytes() if asked.file.exists() else IDLE)


ThreadingHTTPServer((asked.host, asked.port), Load).serve_forever()
