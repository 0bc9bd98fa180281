# ruff: noqa: INP001 - Helm passes it to Python as text
"""Looks up a link through the resolver, with retries: look_up.py URL SECONDS. `helm test` runs it.

The chart mounts the token and the certificates that the resolver requires in /token and /tls.
"""

import ssl
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TOKEN = Path("/token/token")
CERTIFICATE, KEY, AUTHORITY = (Path("/tls", name) for name in ("tls.crt", "tls.key", "ca.crt"))


def look_up(url: str, seconds: float) -> int:
    """Prints the response, or the last error after `seconds` seconds; returns the exit code."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urlopen(_request(url), timeout=5, context=_tls_context()) as response:  # noqa: S310 - the URL of the chart
                sys.stdout.write(f"{response.read().decode()}\n")
                return 0
        except HTTPError as error:
            failure = f"{error}: {error.read().decode()}"
        except OSError as error:
            failure = str(error)
        if time.monotonic() > end:
            sys.stdout.write(f"{url}: {failure}\n")
            return 1
        time.sleep(1)


def _request(url: str) -> Request:
    token = {"Authorization": f"Bearer {TOKEN.read_text(encoding='utf-8')}"} if TOKEN.exists() else {}
    return Request(url, headers=token)  # noqa: S310 - likewise


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=AUTHORITY if AUTHORITY.exists() else None)
    # The certificate is for the name that gateways use, which may differ from the Service's.
    context.check_hostname = False
    if not AUTHORITY.exists():
        context.verify_mode = ssl.CERT_NONE
    if CERTIFICATE.exists():
        context.load_cert_chain(CERTIFICATE, KEY)
    return context


if __name__ == "__main__":
    sys.exit(look_up(sys.argv[1], float(sys.argv[2])))
