"""Rows of the tables of accepted and refused objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from support.api_messages import comparable
from support.kubectl import Object

#: The API server adds this to an error of the schema itself (a type, an enum, a length, a required field).
RULES_NOT_CHECKED = (
    "<nil>: Invalid value: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


@dataclass(frozen=True)
class Accepted:
    """An object that the API server accepts.

    Attributes:
        description: What is special about the object.
        item: The object.
        stored: Fields of its spec as they are stored; None for a field that is absent.
    """

    description: str
    item: Object
    stored: Mapping[str, Any]

    def __str__(self) -> str:
        return self.description


@dataclass(frozen=True)
class Refused:
    """An object that the API server refuses.

    Attributes:
        description: What is wrong with the object.
        item: The object.
        messages: Every message of the response, as tests compare them.
    """

    description: str
    item: Object
    messages: tuple[str, ...]

    def __str__(self) -> str:
        return self.description


def refused(description: str, item: Object, *messages: str) -> Refused:
    """Returns a row that lists every message of the response."""
    return Refused(description, item, comparable(*messages))


def refused_by_schema(description: str, item: Object, *messages: str) -> Refused:
    """Returns a row that violates the schema itself: its messages, and the message that the rules were not checked."""
    return refused(description, item, *messages, RULES_NOT_CHECKED)
