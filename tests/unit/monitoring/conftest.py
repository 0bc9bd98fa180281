"""Fixtures: a fake API server and a client for it."""

from unit.cluster.conftest import api, client

__all__ = ["api", "client"]
