"""Waits until a user who is being handed over is on the new pod, or stays on the old one."""

import asyncio
from dataclasses import dataclass

from statefulroute.api.group import POD_LINK
from statefulroute.api.vocabulary import LossCause
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.hand_overs import bound_pod, next_pod
from statefulroute.cli.link_changes import CONFIRMATION_SECONDS
from statefulroute.cli.objects import is_observed
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.pod_names import PodNames
from statefulroute.domain.keys import PodKey, link_name

#: Why a pod that serves its users hands them over: it is not lost.
_CAUSES_ON_PURPOSE = frozenset({LossCause.SHUTDOWN, LossCause.DEADLINE_OVER})


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverInProgress:
    """A hand-over that a link asks for.

    Attributes:
        names: the names of the pods of the route.
        uid: the user.
        origin: the pod that holds the user.
        target: the pod that the user is handed over to.
        seconds: how long the origin may take.
        since: when it was asked for, in seconds of the event loop's clock.
    """

    names: PodNames
    uid: str
    origin: PodKey | None
    target: PodKey
    seconds: int
    since: float

    def label(self, target: PodKey) -> str:
        """Returns what happens: `alice: game-0 hands over to game-2`."""
        return f"{self.uid}: {self.names.pod_name(self.origin)} hands over to {self.names.pod_name(target)}"


class HandOverWait:
    """The wait for the end of one hand-over.

    Args:
        cluster: the cluster and the namespace.
        hand_over: the hand-over.
    """

    def __init__(self, cluster: Cluster, hand_over: HandOverInProgress) -> None:
        self._cluster = cluster
        self._hand_over = hand_over
        self._target = hand_over.target
        self._is_seen = False
        self._pod = hand_over.origin
        self._elapsed: float | None = None
        """The duration until the user moved to `_pod`; None if the user has not."""
        self._link: Object = {}

    async def run(self, seconds: float) -> int:
        """Wait until the user is on the new pod, for some seconds or without end (0); returns the exit code.

        Raises:
            CommandError: the user is not on the new pod, or its pod did not hand the user over.
        """
        try:
            async with asyncio.timeout(seconds or None) as timeout:
                await self._follow(timeout)
        except TimeoutError:
            if self._elapsed is None:
                raise CommandError(f"{self._state()} after {seconds:g} s; the hand-over continues") from None
        except asyncio.CancelledError:
            names = self._hand_over.names
            origin = names.pod_name(self._hand_over.origin)
            revert = f"statefulroute move {names.route} {self._hand_over.uid} {origin}"
            print_message(f"{self._state()}; the hand-over continues (cancel it: {revert})", err=True)
            raise
        return self._end()

    async def _follow(self, timeout: asyncio.Timeout) -> None:  # noqa: ASYNC109 - that of the caller
        """Follow the link until it has moved and its status states why, or a second has passed since the move."""
        hand_over = self._hand_over
        async for version in self._cluster.follow_object(POD_LINK, link_name(hand_over.names.route, hand_over.uid)):
            if version is None:
                raise CommandError(f"the link of {hand_over.uid} was deleted meanwhile")
            self._link = version
            self._is_seen = self._is_seen or is_observed(version)
            if (pod := bound_pod(version)) != hand_over.origin:
                if is_observed(version):
                    self._note_move(pod)
                    return
                if self._elapsed is None:
                    self._note_move(pod)
                    timeout.reschedule(asyncio.get_running_loop().time() + CONFIRMATION_SECONDS)
            elif (target := next_pod(version)) is None:
                raise CommandError(self._withdrawn())
            elif target != self._target:
                self._target = target
                print_message(f"{hand_over.label(target)} instead")

    def _note_move(self, pod: PodKey | None) -> None:
        if self._elapsed is None or self._pod != pod:
            self._pod, self._elapsed = pod, asyncio.get_running_loop().time() - self._hand_over.since

    def _withdrawn(self) -> str:
        names, uid = self._hand_over.names, self._hand_over.uid
        origin, target = names.pod_name(self._hand_over.origin), names.pod_name(self._target)
        why = f"kubectl describe podlink {link_name(names.route, uid)}"
        return f"{uid}: stays on {origin}; the hand-over to {target} was withdrawn (why: {why})"

    def _state(self) -> str:
        unseen = "" if self._is_seen else " (the operator has not seen it: is it running? statefulroute check)"
        names = self._hand_over.names
        origin, target = names.pod_name(self._hand_over.origin), names.pod_name(self._target)
        return f"{self._hand_over.uid}: {origin} has not handed over to {target}{unseen}"

    def _end(self) -> int:
        """Print where the user is; returns the exit code.

        Raises:
            CommandError: the pod did not hand the user over.
        """
        names, hand_over = self._hand_over.names, self._hand_over
        name = names.pod_name(self._pod)
        result = f"{hand_over.uid}: {name} (was {names.pod_name(hand_over.origin)})"
        if self._pod != self._target:
            raise CommandError(f"{result}, not {names.pod_name(self._target)}: it was moved meanwhile")
        if cause := self._loss_cause():
            raise CommandError(
                f"{result}, because {names.pod_name(hand_over.origin)} was lost ({cause}): {name} may not have the "
                "state of the user"
            )
        if (self._elapsed or 0.0) >= hand_over.seconds:
            raise CommandError(
                f"{result}, after the time-out of {hand_over.seconds} s: {name} may not have the state of the user"
            )
        print_message(result)
        return 0

    def _loss_cause(self) -> str | None:
        """Returns why the pod was lost from which the user has moved; None if it was not, or it is not known."""
        status = self._link.get("status", {})
        cause: str | None = status.get("previous", {}).get("cause") if is_observed(self._link) else None
        return None if cause in _CAUSES_ON_PURPOSE else cause
