"""Clients that move and delete the links of slots, as an administrator may by kubectl."""

from chaos.hand_over_clients import commit_hand_over
from statefulroute.cluster.clock import utc_interval
from statefulroute.cluster.link_requests import LinkRequests
from statefulroute.domain.keys import PodKey, slot_link_name
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.operations import Delete, Put, Step, set_link


async def move_slot(requests: LinkRequests, route: str, slot: int, pod: PodKey) -> PodKey | None:
    """Binds a slot to a pod, if its link exists; returns the pod that holds it."""
    link = await requests.read(slot_link_name(route, slot))
    if link is None:
        return None
    step = set_link(link, utc_interval(), pod=pod, ttl_seconds=None)
    await _write(requests, route, slot, link, step.write)
    return pod


async def commit_slot(requests: LinkRequests, route: str, slot: int, hand_over: HandOver) -> PodKey | None:
    """Commits the hand-over of a slot, if its link still asks for it; returns the pod that holds it."""
    link = await requests.read(slot_link_name(route, slot))
    step: Step[PodKey | None] = commit_hand_over(link, utc_interval(), hand_over=hand_over)
    if link is not None:
        await _write(requests, route, slot, link, step.write)
    return step.result


async def remove_slot(requests: LinkRequests, route: str, slot: int) -> None:
    """Deletes the link of a slot, if it exists."""
    link = await requests.read(slot_link_name(route, slot))
    if link is not None:
        await _write(requests, route, slot, link, Delete())


async def _write(requests: LinkRequests, route: str, slot: int, link: Link, write: Put | Delete | None) -> None:
    if write is not None and (error := await requests.try_write(route, slot, link, write)):
        raise error
