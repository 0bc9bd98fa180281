"""The parts that Kubernetes objects have in common, in JSON."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType

import msgspec


class CamelStruct(msgspec.Struct, rename="camel", gc=False):
    """A struct whose fields have camelCase names in JSON."""


class _OwnerReference(CamelStruct):
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Metadata(CamelStruct, kw_only=True):
    """The metadata of an object."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str
    generation: int = 0
    creation_timestamp: datetime
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[_OwnerReference] | None = None


class ConditionObject(CamelStruct):
    """A condition of an object's status."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    """Null in conditions of pods that another component than the kubelet wrote."""


shared_string = lru_cache(maxsize=4096)(str)
"""Returns a string that many objects have: the name of a namespace or a node."""

#: The annotations or labels of an object that has none.
EMPTY: Mapping[str, str] = MappingProxyType({})


def find_condition(condition_type: str, conditions: list[ConditionObject] | None) -> ConditionObject | None:
    """Returns the condition of a type, or None."""
    return next((condition for condition in conditions or () if condition.type == condition_type), None)
