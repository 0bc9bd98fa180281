"""ResourceQuotas on links."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import pykube

from support.independent_client import IndependentClient, PodLink
from support.waiting import eventually

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
        if links == 0:
            eventually(lambda: _refuses_links(client, namespace), "the API server knows the quota")
        yield
    finally:
        quota.delete()


def _refuses_links(client: IndependentClient, namespace: str) -> bool:
    link = {
        "apiVersion": PodLink.version,
        "kind": PodLink.kind,
        "metadata": {"name": "quotas.try", "namespace": namespace},
        "spec": {"routeName": "quotas", "uid": "try"},
    }
    response = client.http.post(
        version=PodLink.version, namespace=namespace, url=PodLink.endpoint, params={"dryRun": "All"}, json=link
    )
    return response.status_code == HTTPStatus.FORBIDDEN and QUOTA in response.text
