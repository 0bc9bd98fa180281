"""Runs a gateway, and a resolver and a pod as simple as possible, and asks the gateway at each address of the machine.

Usage: families.py ADDRESSES COMMAND..., with the addresses as a JSON list. Prints, by address, which client the pod has
got from the gateway in X-Forwarded-For; the status of the response if the request has not reached the pod.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RESOLVER_PORT, POD_PORT, GATEWAY_PORT = 8080, 7777, 8000

START_SECONDS = 30.0


def serve(address: str) -> None:
    """Serves the only pod, and a resolver that names it for every user, at an address."""
    host = f"[{address}]" if ":" in address else address

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            is_pod = self.server.server_port == POD_PORT
            self.send_response(201 if is_pod else 200)
            if is_pod:
                self.send_header("X-Client", self.headers.get("X-Forwarded-For", ""))
            else:
                self.send_header("X-Gateway-Destination-Endpoint", f"{host}:{POD_PORT}")
                self.send_header("X-Statefulroute-Pod", "game-0")
            self.send_header("Content-Length", "0")
            self.end_headers()

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    for port in (RESOLVER_PORT, POD_PORT):
        threading.Thread(target=Server((address, port), Handler).serve_forever, daemon=True).start()


def client(address: str) -> str | int:
    """Returns the client of a request at an address as soon as it reaches the pod, otherwise the last status."""
    deadline = time.monotonic() + START_SECONDS
    last = 0
    while time.monotonic() < deadline:
        connection = HTTPConnection(address, GATEWAY_PORT, timeout=10)
        try:
            connection.request("GET", "/", headers={"x-user-id": "alice"})
            response = connection.getresponse()
            last = response.status
            if last == 201:
                return response.getheader("X-Client", "")
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    return last


def main() -> None:
    addresses, command = json.loads(sys.argv[1]), sys.argv[2:]
    serve(addresses[-1])
    with subprocess.Popen(command, stdout=sys.stderr) as gateway:
        try:
            sys.stdout.write(json.dumps({address: client(address) for address in addresses}))
        finally:
            gateway.terminate()


if __name__ == "__main__":
    main()
