"""Which pod takes a new user."""

from statefulroute.domain.route import PodView, RouteView


def available_pods(view: RouteView) -> list[PodView]:
    """The pods that take new users: ready, not denying, not lost; whether they are full is another question."""
    return [pod for pod in view.pods.values() if pod.is_available and pod.index not in view.lost]


def has_room(view: RouteView, pod: PodView) -> bool:
    """Whether the pod may carry one link more."""
    most = view.route.spec.placement.max_links_per_pod
    return not most or view.links_on(pod.index) < most


def best_pod(view: RouteView) -> PodView | None:
    """The available pod with room that carries the fewest links, the lowest index first; None when there is none."""
    candidates = (pod for pod in available_pods(view) if has_room(view, pod))
    return min(candidates, key=lambda pod: (view.links_on(pod.index), pod.index), default=None)
