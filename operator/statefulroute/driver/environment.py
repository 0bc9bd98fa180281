"""Reads the identity of a server pod from its environment and its Pod object, and opens the parts of its driver."""

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import NotFoundError
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.request_metrics import RequestObserver
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.operations import LinkWrite
from statefulroute.domain.pod import ordinal
from statefulroute.domain.validation import validate_route
from statefulroute.driver.first_sync import wait_first_sync
from statefulroute.driver.link_cache import LinkCache
from statefulroute.driver.observed_links import ObservedLinks
from statefulroute.driver.own_service import ROUTE_LABEL
from statefulroute.driver.parts import Configuration, ServerInformation, ServerParts
from statefulroute.driver.pod_users import make_pod_users
from statefulroute.driver.publishers import AnnotationPublisher
from statefulroute.driver.routes import RouteCache
from statefulroute.driver.service_reader import RequestedServices

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_CONNECTIONS = 16


def namespace_of_pod(environment: Mapping[str, str] = os.environ, file: Path = _NAMESPACE_FILE) -> str:
    """Returns the namespace of the pod that this process runs in: `POD_NAMESPACE`, or that of its ServiceAccount.

    Raises:
        InvalidParameterError: neither is set.
    """
    if namespace := environment.get("POD_NAMESPACE"):
        return namespace
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        raise InvalidParameterError(
            "POD_NAMESPACE", "must be set outside of a pod: it is the namespace of the service"
        ) from None


async def server_parts(  # noqa: PLR0913 - the parameters of `from_environment`
    namespace: str,
    stack: AsyncExitStack,
    *,
    follow_links: bool,
    follow_users: bool | Iterable[str] = False,
    configuration: Configuration,
    keep_managed_fields: bool = False,
    observer: RequestObserver | None = None,
    on_write: Callable[[LinkWrite], None] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> ServerParts:
    """Opens the parts of the driver of this pod; the stack closes them.

    Raises:
        InvalidParameterError: nothing names the pod's service, or the pod does not exist.
        DeadlineExceededError: the API server did not respond in time.
        ForbiddenError: this account may not list routes.
        ClusterError: the API server did not respond, or with an error.
    """
    from statefulroute.cluster.connection import connect  # noqa: PLC0415 - slow to import

    connection = await stack.enter_async_context(connect())
    client = await stack.enter_async_context(Client(connection, _CONNECTIONS, observer))
    name = environment.get("POD_NAME") or socket.gethostname()
    server = await read_server(client, namespace, name, environment.get("STATEFULROUTE_NAME"))
    routes = await stack.enter_async_context(RouteCache(client, namespace, server.service))
    await wait_first_sync([routes.reflector], configuration.deadline_seconds)
    users = make_pod_users(client, server, follow_users, configuration.fence_after_seconds)
    if users is not None:
        await users.open(stack, configuration.deadline_seconds)
    cache = LinkCache(client, namespace, [server.service]) if follow_links else None
    if cache is not None:
        await stack.enter_async_context(cache)
    links = cache if users is None else ObservedLinks(users, cache)
    services = RequestedServices(client, namespace, routes)
    store = LinkStore(
        client,
        namespace,
        links=links,
        clock=client.expiry_clock.interval,
        deadline_seconds=configuration.deadline_seconds,
        keep_managed_fields=keep_managed_fields,
        on_write=on_write,
        slots_of=services.slots_of,
    )
    transfer = None
    if configuration.hand_over is not None:
        from statefulroute.driver.transfer.http_transfer import HTTPTransfer  # noqa: PLC0415 - needs an extra

        transfer = HTTPTransfer.open(stack, client, server, configuration.hand_over)
    return ServerParts(store, routes, AnnotationPublisher(client, server), server, services, users, transfer)


class _Owner(msgspec.Struct):
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    uid: str = ""
    labels: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None


class _Spec(msgspec.Struct, rename="camel"):
    termination_grace_period_seconds: int | None = None


class _Pod(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec


_pod = msgspec.json.Decoder(_Pod)


async def read_server(client: Client, namespace: str, pod_name: str, service: str | None) -> ServerInformation:
    """Reads the identity of a server pod from its Pod object.

    Args:
        client: the client of the API server.
        namespace: the pod's namespace.
        pod_name: the pod's name.
        service: the name of the pod's StatefulRoute; None uses the pod's label, then the name of its StatefulSet.

    Raises:
        InvalidParameterError: nothing names the pod's service, or the pod does not exist.
        ClusterError: the API server did not respond, or with an error.
    """
    try:
        pod = _pod.decode(await client.get(f"/api/v1/namespaces/{namespace}/pods/{pod_name}"))
    except NotFoundError as error:
        raise InvalidParameterError(
            "POD_NAME",
            f"must be the name of this pod: there is no pod {pod_name!r} in namespace {namespace!r} (set it, and "
            "POD_NAMESPACE, by a fieldRef to metadata.name and metadata.namespace)",
        ) from error
    owner = next((owner for owner in pod.metadata.owner_references or () if owner.controller), None)
    stateful_set = owner.name if owner is not None and owner.kind == "StatefulSet" else None
    service = service or (pod.metadata.labels or {}).get(ROUTE_LABEL) or stateful_set
    if service is None:
        raise InvalidParameterError(
            "STATEFULROUTE_NAME",
            f"must be set, or the pod must have the label {ROUTE_LABEL}: it is its StatefulRoute",
        )
    grace = pod.spec.termination_grace_period_seconds
    index = ordinal(pod_name) if stateful_set else None
    return ServerInformation(
        namespace=namespace,
        service=validate_route(service),
        pod_name=pod_name,
        pod=pod_name if index is None else index,
        termination_grace_seconds=30.0 if grace is None else float(grace),
        pod_uid=pod.metadata.uid,
        owner=None if owner is None else (owner.kind, owner.name),
    )
