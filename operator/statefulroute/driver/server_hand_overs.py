"""Hands over the users of a server driver's pod."""

from statefulroute.domain.errors import InvalidParameterError
from statefulroute.driver.hand_over import HandOvers, LeavingHandler
from statefulroute.driver.lazy_parts import LazyParts
from statefulroute.driver.metrics import NamespaceMetrics
from statefulroute.driver.operations import Operations
from statefulroute.driver.parts import Configuration, EventLogger, ServerParts
from statefulroute.driver.server_users import NOT_FOLLOWED, ServerUsers

#: How many users a pod hands over at a time.
_MAX_CONCURRENT = 64


class ServerHandOvers(ServerUsers):
    """Hands users over to other pods, if the driver follows its users and the application has a handler.

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
        self._leaving_handler: LeavingHandler | None = None
        self._hand_overs: HandOvers | None = None
        """The hand-overs of the open parts."""
        super().__init__(namespace, parts, configuration, operations)

    def on_leaving(self, handler: LeavingHandler | None) -> None:
        """Calls a function for each user whom the pod is asked to hand over, also for the present ones.

        The function saves the state of the user, for example. When it returns, the driver binds the user to the new
        pod. If it raises an exception, the operator moves the user at the deadline. It is cancelled if the hand-over is
        withdrawn or replaced by one to another pod, for which it is called again, or if the user leaves. Up to 64 users
        are handed over at a time; the others wait until their deadline. Call it in the event loop of the driver.

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

    async def _end_hand_overs(self) -> None:
        """Cancels the handlers."""
        if self._leaving is not None:
            self._leaving.close()
        if self._hand_overs is not None:
            await self._hand_overs.close()
            self._hand_overs = None

    def _follow(self, parts: ServerParts) -> None:
        super()._follow(parts)
        if self._leaving is None or parts.users is None:
            if self._leaving_handler is not None:
                self._log.warning("the handler of leaving users is never called: follow_users is not set")
            return
        observe = None if self._metrics is None else self._metrics.observe_hand_over
        self._hand_overs = HandOvers(parts, parts.users, self._operations, _MAX_CONCURRENT, observe)
        self._hand_overs.set_handler(self._leaving_handler)
        self._leaving.listen(self._hand_overs)
