"""Lost pods: what happens to their links."""

from pydantic import Field

from statefulroute.api.limits import DAY_SECONDS, INT32_MAX
from statefulroute.api.model import Model
from statefulroute.api.vocabulary import PodLostAction


class SuspendLosses(Model):
    """When so many nodes or pods look lost at once that the operator does not act on it: a fault is more likely."""

    nodes_percent: int = Field(
        default=55,
        description="Losses are suspended while more than this percentage of the nodes with pods of the route is "
        "lost; 0 is never.",
        ge=0,
        le=100,
    )
    pods_percent: int = Field(
        default=50,
        description="Losses are suspended while more than this percentage of the pods looks lost, for another reason "
        "than a scale-down; 0 is never.",
        ge=0,
        le=100,
    )
    minimum: int = Field(
        default=3,
        description="The number of lost nodes, or of pods that look lost, from which losses are suspended; fewer "
        "suspend none.",
        ge=1,
        le=INT32_MAX,
    )


class OnPodLost(Model):
    """What the operator does with the links of a pod that is gone, shut down, or not Ready for too long."""

    action: PodLostAction = Field(
        default=PodLostAction.REBIND,
        description="Keep marks the links Lost, Rebind moves them to other pods, Release deletes them.",
    )
    grace_seconds: int = Field(
        default=30,
        description="How long a pod may be gone before it counts as lost. Use more than the time that a restart takes.",
        ge=0,
        le=DAY_SECONDS,
    )
    not_ready_seconds: int = Field(
        default=300,
        description="How long a pod that exists may be not Ready before it counts as lost; 0 is without end. Use more "
        "than the time that a pod takes to become Ready.",
        ge=0,
        le=DAY_SECONDS,
    )
    suspend: SuspendLosses = Field(
        default=SuspendLosses(),
        description="When so many nodes or pods look lost at once that losses are suspended: no link is moved, deleted "
        "or marked until fewer look lost or a user confirms the loss (kubectl statefulroute confirm-loss).",
    )
