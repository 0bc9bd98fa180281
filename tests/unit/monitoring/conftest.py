"""A fake API server, and a client of it."""

from unit.cluster.conftest import api, client

__all__ = ["api", "client"]
