# ruff: noqa: INP001 - Helm hands it to Python as text
"""Asks the resolver for a link until it is told one: look_up.py URL SECONDS. `helm test` runs it.

What the resolver wants of its callers lies in /token and /tls, where the chart has put it.
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
    """Print the answer, or after so many seconds what came instead; gives the exit code."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urlopen(_request(url), timeout=5, context=_security()) as answer:  # noqa: S310 - the chart's own URL
                sys.stdout.write(f"{answer.read().decode()}\n")
                return 0
        except HTTPError as refusal:
            said = f"{refusal}: {refusal.read().decode()}"
        except OSError as error:
            said = str(error)
        if time.monotonic() > end:
            sys.stdout.write(f"{url}: {said}\n")
            return 1
        time.sleep(1)


def _request(url: str) -> Request:
    token = {"Authorization": f"Bearer {TOKEN.read_text(encoding='utf-8')}"} if TOKEN.exists() else {}
    return Request(url, headers=token)  # noqa: S310 - likewise


def _security() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=AUTHORITY if AUTHORITY.exists() else None)
    # The certificate has the name that gateways know the resolver by, which may be another.
    context.check_hostname = False
    if not AUTHORITY.exists():
        context.verify_mode = ssl.CERT_NONE
    if CERTIFICATE.exists():
        context.load_cert_chain(CERTIFICATE, KEY)
    return context


if __name__ == "__main__":
    sys.exit(look_up(sys.argv[1], float(sys.argv[2])))
