"""The base class of the API types, and helpers to attach CEL rules and list types to their schemas."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from statefulroute.api.vocabulary import ConditionType

#: A point in time as RFC 3339, in UTC.
Time = datetime


class Model(BaseModel):
    """A type of the API: immutable, camelCase in JSON. It ignores unknown fields, which a later version may add."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True, extra="ignore"
    )


def validation_rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Returns the CEL rules of a field or a type as schema keywords. A pair is a rule and its error message."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


def cel_string(pattern: str) -> str:
    """Returns a regular expression as a CEL string literal."""
    return "'" + pattern.replace("\\", "\\\\") + "'"


def list_type_map(*keys: str) -> dict[str, Any]:
    """Returns the schema keywords of a list that is merged by these key fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


#: The schema keyword of a list that is replaced as a whole: the API server tracks no ownership of single entries.
LIST_TYPE_ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}

#: The version of an object's spec. The API server increments it.
Generation = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]


class Condition(Model):
    """One aspect of an object's state, as in metav1.Condition."""

    type: ConditionType = Field(description="The type of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition is true.")
    reason: str = Field(
        description="The reason of the status, as a CamelCase word.",
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
    )
    message: str = Field(description="A message that explains the reason.", max_length=32768)
    last_transition_time: Time = Field(description="When `status` last changed.")
    observed_generation: Generation | None = Field(
        default=None, description="The generation of the spec that this condition is for."
    )


#: The conditions of an object, at most one of each type.
Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        description="The conditions of the object. `Ready` is always present.",
        json_schema_extra=list_type_map("type"),
    ),
]
