"""Slots: a fixed number of links that bind any number of uids."""

from typing import Annotated

from pydantic import Field

from statefulroute.api.limits import INT32_MAX, SLOTS_MAX
from statefulroute.api.model import Model
from statefulroute.api.vocabulary import RebalanceStrategy


class Rebalance(Model):
    """How slots are moved to new pods."""

    strategy: RebalanceStrategy = Field(
        default=RebalanceStrategy.EVEN,
        description="Never: slots stay with their pods. Even: the fewest slots are moved after which the number of "
        "slots of every pod differs from the mean by at most one. Moves are hand-overs if the route has handOver.",
    )
    slots_per_minute: int = Field(
        default=60,
        description="The number of slots that are moved in a minute to balance the pods. The slots of pods that are "
        "lost, closing or drained are not limited by it.",
        ge=1,
        le=INT32_MAX,
    )


#: The number of slots of a route.
Slots = Annotated[int, Field(ge=1, le=SLOTS_MAX)]

#: The rules of StatefulRouteSpec about slots.
SLOTS_RULES = (
    (
        "!has(oldSelf.slots) || (has(self.slots) && self.slots == oldSelf.slots)",
        "slots is immutable: with another number, nearly all uids would change their slot (create another route)",
    ),
    (
        "!has(self.slots) || !has(self.autoscaling)",
        (
            "slots excludes autoscaling, which follows the number of links: with slots it is always the same (let a "
            "HorizontalPodAutoscaler scale the route by its load)"
        ),
    ),
    (
        "!has(self.slots) || self.placement.maxLinksPerPod == 0",
        "slots excludes placement.maxLinksPerPod: every slot needs a pod",
    ),
    (
        "!has(self.rebalance) || has(self.slots)",
        "rebalance requires slots: the links of single uids are not balanced",
    ),
)
