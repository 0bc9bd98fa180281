"""Simulates how users are spread over slots and pods, and what a look-up costs."""

import gc
import math
import random
import time
from collections import Counter
from collections.abc import Sequence

from measuring.rounds import Figures
from statefulroute.domain.keys import PodKey, RouteKey, link_name, slot_link_name
from statefulroute.domain.link import Link
from statefulroute.domain.slots.hashing import slot_of
from statefulroute.domain.slots.lookup import binding_slot
from statefulroute.domain.slots.spread import balance_slots, spread_slots

FULLEST, MOVED, SHARE = "users of the fullest pod, of the mean", "slots moved to one pod more", "of its share"
LOOKUP, HASH = "µs a look-up", "µs a hash"

#: Up to so many users are hashed. SHA-256 is uniform, so the users of a slot among more of them are drawn from the
#: binomial distribution.
HASHED_USERS = 1_000_000

_LOOKUPS = 100_000


def users_by_slot(users: int, slots: int) -> Sequence[int]:
    """Returns how many of so many users each slot has."""
    if users <= HASHED_USERS:
        counts = Counter(slot_of(f"user-{number}", slots) for number in range(users))
        return [counts[slot] for slot in range(slots)]
    seeded = random.Random(users)
    mean = users / slots
    return [round(seeded.gauss(mean, math.sqrt(mean * (1 - 1 / slots)))) for _ in range(slots)]


def simulate_spread(users: int, slots: int, pods: int) -> Figures:
    """Returns how evenly the users of a route are spread over its pods, and how many slots move to one pod more."""
    bound = dict(spread_slots(range(slots), range(pods), {}))
    load, counts = Counter[PodKey](), Counter(bound.values())
    for slot, number in enumerate(users_by_slot(users, slots)):
        load[bound[slot]] += number
    moved = sum(1 for _ in balance_slots(range(pods + 1), counts))
    return {
        FULLEST: max(load[pod] for pod in range(pods)) / (sum(load.values()) / pods),
        MOVED: moved,
        SHARE: moved / (slots / (pods + 1)),
    }


def measure_lookups(slots: int, pods: int) -> Figures:
    """Returns the CPU time of a look-up of a uid that was not asked before, and of its hash alone."""
    route = RouteKey("bench", "game")
    links = {
        name: Link(route=route, name=name, resource_version=1, generation=1, pod=slot % pods)
        for slot in range(slots)
        if (name := slot_link_name(route.name, slot))
    }
    uids = [f"user-{number}" for number in range(_LOOKUPS)]
    gc.collect()
    started = time.process_time()
    for uid in uids:
        slot_of(uid, slots)
    hashed = time.process_time()
    for uid in uids:
        if (slot := binding_slot(uid, links.get(link_name(route.name, uid)), slots)) is not None:
            links.get(slot_link_name(route.name, slot))
    return {
        LOOKUP: (time.process_time() - hashed) / _LOOKUPS * 1e6,
        HASH: (hashed - started) / _LOOKUPS * 1e6,
    }
