"""What the user of the console can do: the commands of the same names, with the same checks and messages."""

import asyncio
import time
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE
from statefulroute.api.limits import INT32_MAX
from statefulroute.api.vocabulary import RoutingState
from statefulroute.cli.checks.installation import is_allowed
from statefulroute.cli.cluster import Cluster, CommandError
from statefulroute.cli.commands.confirm_loss import ShownLoss, confirm_suspended_loss
from statefulroute.cli.commands.drain import drain_pod
from statefulroute.cli.commands.move import hand_user_over, move_user
from statefulroute.cli.commands.rollout import set_paused
from statefulroute.cli.commands.scale import scale_route
from statefulroute.cli.commands.set_state import set_route_state
from statefulroute.cli.commands.undrain import undrain_pod
from statefulroute.cli.commands.unlink import unlink_user
from statefulroute.cli.dry_run import DryRun
from statefulroute.cli.output.messages import collect_messages
from statefulroute.cli.runner import error_message
from statefulroute.cluster.errors import APIError, ClusterError
from statefulroute.console.responses import RequestError
from statefulroute.domain.errors import StatefulRouteError
from statefulroute.domain.keys import RouteKey

#: How long the permissions of the user are used again.
_RIGHTS_SECONDS = 30.0

#: The permissions that acts need, by the field that tells the page.
_RIGHTS = {
    "patchRoutes": ("patch", STATEFUL_ROUTE),
    "patchLinks": ("patch", POD_LINK),
    "deleteLinks": ("delete", POD_LINK),
}


class ActRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """An act of the user; the fields that an act does not need are ignored.

    Attributes:
        act: the act.
        dry_run: whether the API server validates the change and does not persist it.
        pod: the name or the index of the pod.
        uid: the user.
        only_from: only if the link of the user is to this pod, which the page has shown; `-` if it waits for one.
        state: the routing state.
        replicas: the number of pods.
        loss: the suspended loss that the page has shown.
    """

    act: Literal[
        "drain",
        "shutdown",
        "undrain",
        "set-state",
        "scale",
        "pause",
        "resume",
        "confirm-loss",
        "move",
        "hand-over",
        "unlink",
    ]
    dry_run: bool = False
    pod: str = ""
    uid: str = ""
    only_from: str | None = None
    state: Literal["Ready", "DenyNewCall", "Shutdown"] | None = None
    replicas: Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)] | None = None
    loss: ShownLoss | None = None


class ActResult(msgspec.Struct, frozen=True):
    """What an act has done, or would do, as the commands print it."""

    messages: list[str]


async def perform(cluster: Cluster, key: RouteKey, request: ActRequest) -> ActResult:
    """Do what the user asks for.

    Args:
        cluster: the cluster, as the user of the console.
        key: the route.
        request: the act.

    Raises:
        RequestError: it was not done; the message says why, in the words of the API server if it has refused it.
    """
    with collect_messages() as messages:
        try:
            code = await _run(replace(cluster, namespace=key.namespace), key.name, request)
        except APIError as error:
            is_refusal = HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR
            status = HTTPStatus(error.status) if is_refusal else HTTPStatus.BAD_GATEWAY
            raise RequestError(status, error_message(error)) from error
        except ClusterError as error:
            raise RequestError(HTTPStatus.BAD_GATEWAY, error_message(error)) from error
        except (CommandError, StatefulRouteError) as error:
            raise RequestError(HTTPStatus.CONFLICT, error_message(error)) from error
    if code:
        raise RequestError(HTTPStatus.CONFLICT, "; ".join(messages))
    return ActResult(messages)


async def _run(cluster: Cluster, route: str, request: ActRequest) -> int:
    """Run the command of an act; returns its exit code."""
    dry_run = DryRun.SERVER if request.dry_run else DryRun.NONE
    match request.act:
        case "drain" | "shutdown" | "undrain":
            return await _act_on_pod(cluster, route, request, dry_run)
        case "move" | "hand-over" | "unlink":
            return await _act_on_link(cluster, route, request, dry_run)
        case _:
            return await _act_on_route(cluster, route, request, dry_run)


async def _act_on_pod(cluster: Cluster, route: str, request: ActRequest, dry_run: DryRun) -> int:
    if request.act == "undrain":
        return await undrain_pod(cluster, route, request.pod, dry_run=dry_run)
    state = RoutingState.DENY_NEW_CALL if request.act == "drain" else RoutingState.SHUTDOWN
    return await drain_pod(cluster, route, request.pod, state, wait_seconds=None, dry_run=dry_run)


async def _act_on_link(cluster: Cluster, route: str, request: ActRequest, dry_run: DryRun) -> int:
    uid, only_from = request.uid, request.only_from
    if request.act == "unlink":
        return await unlink_user(cluster, route, uid, only_from=only_from, grace_seconds=None, dry_run=dry_run)
    if request.act == "hand-over":
        return await hand_user_over(
            cluster,
            route,
            uid,
            request.pod,
            only_from=only_from,
            ttl_seconds=None,
            wait_seconds=None,
            dry_run=dry_run,
        )
    return await move_user(cluster, route, uid, request.pod, only_from=only_from, ttl_seconds=None, dry_run=dry_run)


async def _act_on_route(cluster: Cluster, route: str, request: ActRequest, dry_run: DryRun) -> int:
    match request.act:
        case "set-state" if request.state is not None:
            return await set_route_state(cluster, route, RoutingState(request.state), dry_run=dry_run)
        case "scale" if request.replicas is not None:
            return await scale_route(cluster, route, request.replicas, wait_seconds=None, dry_run=dry_run)
        case "pause" | "resume":
            return await set_paused(cluster, route, is_paused=request.act == "pause", dry_run=dry_run)
        case "confirm-loss" if request.loss is not None:
            return await confirm_suspended_loss(cluster, route, dry_run=dry_run, shown=request.loss)
    raise RequestError(
        HTTPStatus.BAD_REQUEST, f"{request.act} needs a value: the state, the number of pods, or the loss"
    )


class Rights:
    """What the user may do, by SelfSubjectAccessReviews.

    Args:
        cluster: the cluster, as the user of the console.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, tuple[float, dict[str, bool]]] = {}

    async def in_namespace(self, namespace: str) -> dict[str, bool]:
        """Returns which acts the user may do in a namespace.

        Raises:
            ClusterError: the API server does not answer.
        """
        known = self._known.get(namespace)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        cluster = replace(self._cluster, namespace=namespace)
        answers = await asyncio.gather(*(is_allowed(cluster, verb, kind.plural) for verb, kind in _RIGHTS.values()))
        rights = dict(zip(_RIGHTS, answers, strict=True))
        self._known[namespace] = time.monotonic() + _RIGHTS_SECONDS, rights
        return rights
