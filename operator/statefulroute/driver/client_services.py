"""The questions of a client driver about services and pods, which it answers from its caches."""

from statefulroute.domain import service as rules
from statefulroute.domain.keys import PodKey
from statefulroute.domain.slots.lookup import binding_slot
from statefulroute.domain.validation import validate_uid
from statefulroute.driver.lifetime import Lifetime
from statefulroute.driver.services import Services


class ClientServices:
    """Answers from the caches, without a request.

    Args:
        services: the caches of services and pods.
        lifetime: where the caches are up to date.
    """

    def __init__(self, services: Services, lifetime: Lifetime) -> None:
        self._services = services
        self._lifetime = lifetime

    def best_pod(self, service: str) -> PodKey:
        """Returns the pod for the next user, by the operator's placement rule.

        Raises:
            ServiceNotFoundError: the service does not exist.
            PodNotAvailableError: no pod of the service accepts new users at present.
        """
        self._lifetime.check()
        return self._services.best_pod(service)

    def alive_pods(self, service: str) -> list[PodKey]:
        """Returns the pods that are ready. Raises `ServiceNotFoundError`.

        Of more than 500 pods, only those of a StatefulSet are all returned: those that the status of the route lists
        are the first.
        """
        self._lifetime.check()
        return self._services.pods_matching(service, rules.is_ready)

    def routable_pods(self, service: str) -> list[PodKey]:
        """Returns the pods that serve their users: ready and not shut down.

        The limit and the errors are those of `alive_pods`.
        """
        self._lifetime.check()
        return self._services.pods_matching(service, rules.is_routable)

    def is_routable(self, service: str, pod: PodKey) -> bool:
        """Returns whether a pod serves its users.

        Raises:
            ServiceNotFoundError: the service does not exist.
            PodNotFoundError: the pod does not exist at present.
        """
        self._lifetime.check()
        return rules.is_routable(self._services.find_pod(service, pod))

    def is_available(self, service: str, pod: PodKey) -> bool:
        """Returns whether a pod accepts new users. Raises the errors of `is_routable`."""
        self._lifetime.check()
        return rules.is_available(self._services.find_pod(service, pod))

    def is_workload_ready(self, service: str) -> bool:
        """Returns whether a service is ready for users: a pod accepts them, and it is not Overloaded or Shutdown.

        Raises:
            ServiceNotFoundError: the service does not exist.
        """
        self._lifetime.check()
        return rules.is_workload_ready(self._services.route(service))

    def slot_of(self, uid: str, service: str) -> int | None:
        """Returns the slot that a uid belongs to, whether or not the uid has a link of its own; None without slots.

        Raises:
            ServiceNotFoundError: the service does not exist.
            InvalidParameterError: the uid is invalid.
        """
        self._lifetime.check()
        slots = self._services.route(service).spec.slots
        return binding_slot(validate_uid(uid), None, slots)

    def services_of_tag(self, tag: str) -> list[str]:
        """Returns the sorted names of the services that have a tag."""
        self._lifetime.check()
        return sorted(route.name for route in self._services.routes.all() if tag in route.spec.tags)
