"""What a process sends over OTLP, by OpenTelemetry's own environment variables; OpenTelemetry is not imported."""

import os
from enum import StrEnum

#: The base URL of the receiver of all signals.
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

_PROTOCOL = "http/protobuf"


class Signal(StrEnum):
    """What can be sent."""

    TRACES = "traces"
    METRICS = "metrics"


class OtlpUnavailableError(Exception):
    """A signal has to be sent, and cannot be; the message explains why, and what to do."""


def is_enabled(signal: Signal) -> bool:
    """Returns whether the environment enables a signal.

    Traces are sent if an endpoint is set. Metrics are scraped by default: an endpoint for all signals alone sends none.
    """
    environment, name = os.environ, signal.upper()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get(f"OTEL_{name}_EXPORTER")
    if exporter == "none":
        return False
    if environment.get(f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT"):
        return True
    return bool(environment.get(ENDPOINT)) and (signal is Signal.TRACES or exporter == "otlp")


def check_protocol(signal: Signal) -> None:
    """Checks that the environment chooses the protocol that is implemented.

    Raises:
        OtlpUnavailableError: it chooses another one.
    """
    name = f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL"
    protocol = os.environ.get(name) or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or _PROTOCOL
    if protocol != _PROTOCOL:
        raise OtlpUnavailableError(
            f"{signal} cannot be sent by {protocol}: set {name}={_PROTOCOL}, and the port to the receiver's for it, "
            "which is mostly 4318"
        )


def not_installed(signal: Signal, extra: str) -> OtlpUnavailableError:
    """Returns the error for a signal whose packages are not installed.

    Args:
        signal: what has to be sent.
        extra: the extra of the process, such as `operator`.
    """
    return OtlpUnavailableError(
        f"{signal} are enabled by the environment ({ENDPOINT} or a variable for {signal}), and what sends them is not "
        f"installed: install statefulroute[{extra},otlp], or unset the variable"
    )


def not_configured(signal: Signal, error: ValueError) -> OtlpUnavailableError:
    """Returns the error for a variable that OpenTelemetry does not accept.

    Args:
        signal: what has to be sent.
        error: OpenTelemetry's error, which says what is wrong.
    """
    return OtlpUnavailableError(f"{signal} cannot be sent: {error}; see the variables of OpenTelemetry (OTEL_*)")
