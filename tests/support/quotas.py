"""ResourceQuotas on links."""

from collections.abc import Iterator
from contextlib import contextmanager

import pykube

from support.independent_client import IndependentClient

QUOTA = "links"
_LINKS = "count/podlinks.statefulroute.io"


@contextmanager
def link_quota(client: IndependentClient, namespace: str, links: int) -> Iterator[None]:
    """Permits a number of further links in a namespace while the context lasts."""
    hard = {_LINKS: str(links)}
    item = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": QUOTA, "namespace": namespace}}
    quota = pykube.ResourceQuota(client.http, {**item, "spec": {"hard": hard}})
    quota.create()
    try:
        # The controller of quotas takes up to a minute to know a custom kind. Until then, links would be refused.
        client.patch_status(pykube.ResourceQuota, QUOTA, namespace, {"hard": hard, "used": {_LINKS: "0"}})
        yield
    finally:
        quota.delete()
