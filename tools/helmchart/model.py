"""Types that all values share."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from statefulroute.monitoring.tls_protocol import CipherSuite, TlsVersion


class ValueGroup(BaseModel):
    """A group of values: camelCase in YAML; unknown keys are errors."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True, extra="forbid")


class SharedValues(ValueGroup):
    """Values that other charts read, too: an installation of several charts may have more of them."""

    model_config = ConfigDict(extra="allow")


class PullPolicy(StrEnum):
    """When a node pulls an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class NetworkPolicyKind(StrEnum):
    """A kind of network policies."""

    KUBERNETES = "NetworkPolicy"
    CILIUM = "CiliumNetworkPolicy"


def text_pattern(pattern: str, fix: str) -> Any:  # noqa: ANN401 - for the arguments of Field
    """Returns the pattern of a text, for `Field(**...)`. The chart checks it, because Helm's error would only quote it.

    Args:
        pattern: an RE2 regular expression without anchors; it must match the empty text if that is allowed.
        fix: what to write instead, after "write".
    """
    return {"json_schema_extra": {PATTERN_KEY: pattern, FIX_KEY: fix}}


#: The keys under which `text_pattern` stores both.
PATTERN_KEY, FIX_KEY = "check-pattern", "check-fix"

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_LABEL_FIX = "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"

#: The name of a Kubernetes object that is at most one DNS label.
Name = Annotated[str, Field(**text_pattern(_LABEL, _LABEL_FIX))]

#: The same, or empty for the chart's default name.
OptionalName = Annotated[str, Field(**text_pattern(f"({_LABEL})?", f"{_LABEL_FIX}, or nothing"))]

#: Whether a chart that contains this one installs it.
IsEnabled = Annotated[
    bool,
    Field(
        description="For the `condition` of a chart that contains this one, so that the schema accepts it; it has no "
        "other effect."
    ),
]

#: Labels or annotations.
StringMap = dict[str, str]

#: A part of a Kubernetes object, which the API server validates.
Object = dict[str, Any]

_INTERVAL = "([0-9]+(ms|[smhdwy]))+"

#: A duration in Prometheus' format.
Interval = Annotated[str, Field(**text_pattern(_INTERVAL, "a number and a unit, like 30s"))]

OptionalInterval = Annotated[str, Field(**text_pattern(f"({_INTERVAL})?", "a number and a unit, like 10s, or nothing"))]

#: At most a day. Helm writes numbers from a million on as `1e+06`, which Kubernetes rejects.
Seconds = Annotated[int, Field(ge=1, le=86400)]

MinTlsVersion = Annotated[TlsVersion, Field(description="The lowest version of TLS.")]

CipherSuites = Annotated[
    list[CipherSuite],
    Field(
        json_schema_extra={"uniqueItems": True},
        description="The cipher suites of TLS 1.2, as IANA names them; empty is all with forward secrecy that the "
        "libraries have. TLS 1.3 always has its own.",
    ),
]
