"""Planned disruptions of a route: scale-down, rollout and the drain of a node wait for users."""

from typing import Annotated

from pydantic import Field

from statefulroute.api.limits import INT32_MAX
from statefulroute.api.model import Model
from statefulroute.api.vocabulary import RolloutStrategy

_MONTH_SECONDS = 30 * 86_400


class Disruption(Model):
    """How long pods that are removed on purpose keep their users."""

    deadline_seconds: int = Field(
        default=3600,
        description="How long a closing pod may keep its users: a pod that is removed by a scale-down, a rollout or "
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


class Rollout(Model):
    """How the pods of a StatefulSet whose update strategy is OnDelete are replaced after a change of its template."""

    strategy: RolloutStrategy = Field(
        default=RolloutStrategy.WHEN_EMPTY,
        description="WhenEmpty: a pod of an older revision takes no new users, and is replaced when it is empty or the "
        "deadline is over.",
    )
    max_unavailable: int = Field(
        default=1,
        description="How many pods may be closing or unavailable at the same time because of the rollout.",
        ge=1,
        le=INT32_MAX,
    )
    surge: int = Field(
        default=0,
        description="How many pods more than spec.replicas there are during the rollout, so that more may close.",
        ge=0,
        le=INT32_MAX,
    )
    partition: int = Field(default=0, description="Pods with a lower index keep their revision.", ge=0, le=INT32_MAX)
    paused: bool = Field(default=False, description="Whether no further pod is closed; closing pods are opened again.")


#: The desired number of pods, if this route scales its workload.
Replicas = Annotated[int, Field(ge=0, le=INT32_MAX)]

#: The rules of StatefulRouteSpec about these fields.
DISRUPTION_RULES = (
    (
        "!has(self.autoscaling) || !has(self.autoscaling.freeLinks) || self.placement.maxLinksPerPod > 0",
        "autoscaling.freeLinks requires placement.maxLinksPerPod: without a limit, there is always room in a pod",
    ),
    (
        "!has(self.rollout) || self.workloadRef.kind == 'StatefulSet'",
        "rollout requires a StatefulSet: only its pods can be replaced one by one (remove spec.rollout)",
    ),
    (
        "!has(self.rollout) || self.rollout.surge == 0 || has(self.replicas) || has(self.autoscaling)",
        "rollout.surge requires replicas or autoscaling: the route must scale the workload to add pods",
    ),
)
