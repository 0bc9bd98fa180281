"""Which pod takes a new user."""

from statefulroute.domain.route import PodView, RouteView


def best_pod(view: RouteView) -> PodView | None:
    """The available pod that carries the fewest links, the lowest index first; None when no pod takes new users."""
    available = (pod for pod in view.pods.values() if pod.is_available)
    return min(available, key=lambda pod: (view.links_on(pod.index), pod.index), default=None)
