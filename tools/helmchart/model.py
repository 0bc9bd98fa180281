"""What every part of the chart's values shares."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class ValueGroup(BaseModel):
    """A group of values: camelCase in YAML; a key that it does not have is a mistake."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True, extra="forbid")


class PullPolicy(StrEnum):
    """When a node pulls an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


def text_pattern(pattern: str, fix: str) -> Any:  # noqa: ANN401 - it goes among Field's arguments
    """The form of a text, for `Field(**...)`. The chart checks it, for Helm would only quote the expression.

    Args:
        pattern: a regular expression of RE2, without anchors; what may be empty matches nothing, too.
        fix: what is to be written, after "write".
    """
    return {"json_schema_extra": {PATTERN_KEY: pattern, FIX_KEY: fix}}


#: Where `written` puts the two.
PATTERN_KEY, FIX_KEY = "form", "remedy"

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_LABEL_FIX = "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"

#: A name of Kubernetes that is at most one DNS label.
Name = Annotated[str, Field(**text_pattern(_LABEL, _LABEL_FIX))]

#: The same, or nothing: then the chart has a name of its own.
OptionalName = Annotated[str, Field(**text_pattern(f"({_LABEL})?", f"{_LABEL_FIX}, or nothing"))]

#: Labels or annotations.
StringMap = dict[str, str]

#: A piece of a Kubernetes object: the API server knows its fields.
Object = dict[str, Any]

_INTERVAL = "([0-9]+(ms|[smhdwy]))+"

#: A time as Prometheus writes it.
Interval = Annotated[str, Field(**text_pattern(_INTERVAL, "a number and a unit, like 30s"))]

OptionalInterval = Annotated[str, Field(**text_pattern(f"({_INTERVAL})?", "a number and a unit, like 10s, or nothing"))]

#: At most a day. Helm writes numbers of a million and more as `1e+06`, which no Kubernetes object may have.
Seconds = Annotated[int, Field(ge=1, le=86400)]
