"""Hands over the users and slots of a server driver's pod, and takes those of others."""

import asyncio

from statefulroute.domain.errors import InvalidParameterError
from statefulroute.driver.arriving import Arrivals, ArrivingHandler
from statefulroute.driver.hand_over import HandOvers, LeavingHandler, SlotLeavingHandler
from statefulroute.driver.hand_over_configuration import HandOverConfiguration
from statefulroute.driver.lazy_parts import LazyParts
from statefulroute.driver.leaving import LeavingUsers
from statefulroute.driver.leaving_user import StateSender
from statefulroute.driver.lifetime import cancel
from statefulroute.driver.metrics import NamespaceMetrics
from statefulroute.driver.operations import Operations
from statefulroute.driver.parts import Configuration, EventLogger, ServerParts, Users
from statefulroute.driver.server_users import NOT_FOLLOWED, ServerUsers

_NOT_CONFIGURED = "must be set: this driver receives no states"


class ServerHandOvers(ServerUsers):
    """Hands users and slots over to other pods, if the driver follows them and the application has handlers.

    Args:
        namespace: the pod's namespace.
        parts: the parts of the driver.
        configuration: the time limits.
        operations: runs the operations.
        log: the driver's logger.
        metrics: counts the hand-overs; None counts nothing.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - those of the base class, and two
        self,
        namespace: str,
        parts: LazyParts,
        configuration: Configuration,
        operations: Operations,
        log: EventLogger,
        metrics: NamespaceMetrics | None,
    ) -> None:
        self._log = log
        self._metrics = metrics
        self._transfer_configuration = configuration.hand_over
        self._leaving_handler: LeavingHandler | None = None
        self._slot_leaving_handler: SlotLeavingHandler | None = None
        self._arriving_handler: ArrivingHandler | None = None
        self._hand_overs: HandOvers | None = None
        self._arrivals: Arrivals | None = None
        """The hand-overs and the arrivals of the open parts."""
        self._receiving: asyncio.Task[None] | None = None
        super().__init__(namespace, parts, configuration, operations)

    def on_leaving(self, handler: LeavingHandler | None) -> None:
        """Calls a function for each user whom the pod is asked to hand over, also for the present ones.

        The function saves the state of the user, for example. When it returns, the driver binds the user to the new
        pod. If it raises an exception, the operator moves the user at the deadline. It is cancelled if the hand-over is
        withdrawn or replaced by one to another pod, for which it is called again, or if the user leaves. A limited
        number of users is handed over at a time; the others wait until their deadline. Call it in the event loop of the
        driver.

        Args:
            handler: the function, which replaces the one before. None lets the operator move users at their deadline;
                calls in progress continue.

        Raises:
            InvalidParameterError: the driver does not follow its users. Before its start, its log says so.
            DriverNotOpenError: the driver belongs to another process or event loop.
        """
        self._parts.lifetime.check_place()
        self._leaving_handler = handler
        if self._hand_overs is not None:
            self._hand_overs.set_handler(handler)
        elif self._parts.opened is not None:
            raise InvalidParameterError("follow_users", NOT_FOLLOWED)

    def on_slot_leaving(self, handler: SlotLeavingHandler | None) -> None:
        """Calls a function for each slot that the pod is asked to hand over, also for the present ones.

        The function saves the states of the slot's users, for example, or sends them. When it returns, the driver binds
        the slot to the new pod. Everything else is as for users, by `on_leaving`. That is not called for the users of
        slots, and this not for users with a link of their own.

        Args:
            handler: the function, which replaces the one before. None lets the operator move slots at their deadline;
                calls in progress continue.

        Raises:
            InvalidParameterError: the driver does not follow its users. Before its start, its log says so.
            DriverNotOpenError: the driver belongs to another process or event loop.
        """
        self._parts.lifetime.check_place()
        self._slot_leaving_handler = handler
        if self._hand_overs is not None:
            self._hand_overs.set_slot_handler(handler)
        elif self._parts.opened is not None:
            raise InvalidParameterError("follow_users", NOT_FOLLOWED)

    def on_arriving(self, handler: ArrivingHandler | None) -> None:
        """Calls a function for each user whose state another pod sends, also for each of the users of a slot.

        The function takes the state. When it returns, the other pod moves the user, and `UserArrived` follows, or
        `SlotArrived` when it has sent the states of all users; or `ArrivalCancelled` for each user, if the hand-over
        was withdrawn meanwhile. It may be called several times for a user: the last state counts. If it raises an
        exception, `LeavingUser.send` of the other pod does, too. It is cancelled if the user or the slot arrives while
        it runs, because the deadline is over: a late state never replaces a newer one. Call it in the event loop of the
        driver.

        Args:
            handler: the function, which replaces the one before. None takes no states.

        Raises:
            InvalidParameterError: `Configuration.hand_over` is not set, or the driver does not follow its users.
            DriverNotOpenError: the driver belongs to another process or event loop.
        """
        self._parts.lifetime.check_place()
        if self._transfer_configuration is None:
            raise InvalidParameterError("hand_over", _NOT_CONFIGURED)
        self._arriving_handler = handler
        parts = self._parts.opened
        if parts is None:
            return
        if self._arrivals is None:
            missing = ("follow_users", NOT_FOLLOWED) if parts.users is None else ("transfer", _NOT_CONFIGURED)
            raise InvalidParameterError(*missing)
        self._receive(parts)

    def _receive(self, parts: ServerParts) -> None:
        """Starts to receive states when there is a handler for the first time."""
        if self._receiving is not None or self._arriving_handler is None:
            return
        if parts.transfer is not None and self._arrivals is not None:
            self._receiving = asyncio.create_task(parts.transfer.serve(self._arrivals))

    def _holds_users(self) -> bool:
        """Returns whether users or slots are here, or about to arrive after states of theirs were taken."""
        users = None if self._parts.opened is None else self._parts.opened.users
        if users is None:
            return False
        return (self._arrivals is not None and self._arrivals.are_expected) or any(map(users.links, users.services))

    async def _end_hand_overs(self) -> None:
        """Cancels the handlers."""
        if self._leaving is not None:
            self._leaving.close()
        if self._receiving is not None:
            await cancel(self._receiving)
        for each in (self._hand_overs, self._arrivals):
            if each is not None:
                await each.close()
        self._receiving = self._hand_overs = self._arrivals = None

    def _follow(self, parts: ServerParts) -> None:
        super()._follow(parts)
        if self._leaving is None or parts.users is None:
            if any((self._leaving_handler, self._slot_leaving_handler, self._arriving_handler)):
                self._log.warning("the handlers of hand-overs are never called: follow_users is not set")
            return
        configuration = self._transfer_configuration or HandOverConfiguration()
        self._hand_overs = self._make_hand_overs(parts, parts.users, self._leaving, configuration)
        self._hand_overs.set_handler(self._leaving_handler)
        self._hand_overs.set_slot_handler(self._slot_leaving_handler)
        self._leaving.listen(self._hand_overs)
        if parts.transfer is not None:
            self._arrivals = self._make_arrivals(parts, parts.users, self._leaving, configuration)
            self._receive(parts)

    def _make_hand_overs(
        self, parts: ServerParts, users: Users, leaving: LeavingUsers, configuration: HandOverConfiguration
    ) -> HandOvers:
        metrics, sender = self._metrics, None
        if parts.transfer is not None:
            count = None if metrics is None else metrics.observe_sent
            sender = StateSender(parts.transfer, self._operations, configuration.max_state_bytes, count)
        return HandOvers(
            parts,
            users,
            self._operations,
            sender,
            slots_of=leaving.timeouts.slots,
            max_concurrent=configuration.max_concurrent,
            observe=None if metrics is None else metrics.observe_hand_over,
        )

    def _make_arrivals(
        self, parts: ServerParts, users: Users, leaving: LeavingUsers, configuration: HandOverConfiguration
    ) -> Arrivals:
        return Arrivals(
            parts,
            users,
            lambda: self._arriving_handler,
            self._operations,
            self._publish,
            timeouts=leaving.timeouts,
            max_bytes=configuration.max_state_bytes,
            max_concurrent=configuration.max_concurrent,
            count=None if self._metrics is None else self._metrics.observe_received,
        )
