"""Autoscaling of a route: the number of its pods follows the number of its links."""

from pydantic import Field, JsonValue

from statefulroute.api.limits import DAY_SECONDS, INT32_MAX
from statefulroute.api.model import Model

_BOUNDS_RULE: dict[str, JsonValue] = {
    "rule": "self.minReplicas <= self.maxReplicas",
    "message": "autoscaling.minReplicas must not be greater than maxReplicas",
    "messageExpression": (
        "'autoscaling.minReplicas must not be greater than maxReplicas: %d > %d'"
        ".format([self.minReplicas, self.maxReplicas])"
    ),
}

_TARGET_RULE: dict[str, JsonValue] = {
    "rule": "has(self.linksPerPod) != has(self.freeLinks)",
    "message": (
        "autoscaling needs a target: set either linksPerPod (the number of links for which a pod is added) or "
        "freeLinks (the number of new users for whom there is always room)"
    ),
}


class Autoscaling(Model):
    """How the operator sets spec.replicas by the number of links. Closing pods and their free places do not count."""

    min_replicas: int = Field(
        default=1,
        description="The minimum number of pods. 0: the last pod is removed while the route has no links.",
        ge=0,
        le=INT32_MAX,
    )
    max_replicas: int = Field(description="The maximum number of pods.", ge=1, le=INT32_MAX)
    links_per_pod: int | None = Field(
        default=None, description="The number of links for which there is one pod.", ge=1, le=INT32_MAX
    )
    free_links: int | None = Field(
        default=None,
        description="The number of new users for whom there is always room; requires placement.maxLinksPerPod.",
        ge=1,
        le=INT32_MAX,
    )
    scale_down_after_seconds: int = Field(
        default=300,
        description="How long fewer pods have to be enough before pods are closed.",
        ge=0,
        le=DAY_SECONDS,
    )


#: The rules of Autoscaling, as the schema of the field.
AUTOSCALING_RULES: dict[str, JsonValue] = {"x-kubernetes-validations": [_BOUNDS_RULE, _TARGET_RULE]}
