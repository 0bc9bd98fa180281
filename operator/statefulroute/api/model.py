"""What every type of the API shares: its spelling in JSON, and how CEL rules and list kinds are attached."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from statefulroute.api.vocabulary import ConditionType

#: A point in time as RFC 3339, in UTC.
Time = datetime


class Model(BaseModel):
    """A part of an object: camelCase in JSON, immutable, and tolerant of fields of later versions."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True, extra="ignore"
    )


def validation_rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """The CEL rules of a field or a type, each with the sentence that is shown when it is broken."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


def cel_string(pattern: str) -> str:
    """A regular expression as a string of CEL."""
    return "'" + pattern.replace("\\", "\\\\") + "'"


def list_type_map(*keys: str) -> dict[str, Any]:
    """A list whose entries are told apart by these fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


#: A list that one writer replaces as a whole: the API server keeps no record of who owns which entry.
LIST_TYPE_ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}

#: A version of an object's spec, counted by the API server.
Generation = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]


class Condition(Model):
    """One aspect of an object's state, as metav1.Condition."""

    type: ConditionType = Field(description="Which aspect this is.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(
        description="Why, as one word of a closed list.",
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
    )
    message: str = Field(description="Why, as a sentence for people.", max_length=32768)
    last_transition_time: Time = Field(description="When `status` last changed.")
    observed_generation: Generation | None = Field(default=None, description="The generation that this was said of.")


#: The conditions of an object, one of each type.
Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        description="The object's state, aspect by aspect. `Ready` is always present.",
        json_schema_extra=list_type_map("type"),
    ),
]
