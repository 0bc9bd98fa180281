"""Planned disruptions of a route: a scale-down and the drain of a node wait for users."""

from typing import Annotated

from pydantic import Field

from statefulroute.api.limits import INT32_MAX
from statefulroute.api.model import Model

_MONTH_SECONDS = 30 * 86_400


class Disruption(Model):
    """How long pods that are removed on purpose keep their users, and whether evictions wait for users."""

    deadline_seconds: int = Field(
        default=3600,
        description="How long a closing pod may keep its users: a pod that is removed by a scale-down or "
        "the drain of its node. After that, its links are handled as onPodLost states, and the pod is removed; 0 does "
        "not wait.",
        ge=0,
        le=_MONTH_SECONDS,
    )
    protect: bool = Field(
        default=True,
        description="Whether the eviction of a pod with links is refused, as kubectl drain requests it, until the pod "
        "is empty or the deadline is over. The operator creates a PodDisruptionBudget for this.",
    )


#: The desired number of pods, if this route scales its workload.
Replicas = Annotated[int, Field(ge=0, le=INT32_MAX)]
