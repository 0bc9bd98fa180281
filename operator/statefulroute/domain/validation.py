"""What parameters of an operation must be: the same rules as the PodLink's CustomResourceDefinition has."""

import re
import unicodedata

from statefulroute.api.limits import DNS_LABEL, DNS_SUBDOMAIN, INT32_MAX
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import PodKey, link_name

_MAX_PLAIN, _MAX_ENCODED_BYTES = 189, 93
_MAX_ROUTE, _MAX_POD_NAME = 63, 253
_SHOWN_BITS = 64

_dns_label = re.compile(DNS_LABEL.removesuffix("$"))
_dns_subdomain = re.compile(DNS_SUBDOMAIN.removesuffix("$"))


def validate_uid(uid: object) -> str:
    """The uid, if a link can bind it.

    Raises:
        InvalidParameterError: it is no text, empty, too long, or holds control characters.
    """
    if not isinstance(uid, str):
        raise InvalidParameterError("uid", f"must be a text, not {type(uid).__name__}")
    if not uid:
        raise InvalidParameterError("uid", "must not be empty")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in uid):
        raise InvalidParameterError("uid", "must not hold control characters")
    encoded = not link_name("", uid).endswith(f".{uid}")
    if len(uid) > _MAX_PLAIN or (encoded and len(uid.encode()) > _MAX_ENCODED_BYTES):
        raise InvalidParameterError(
            "uid",
            f"is too long: at most {_MAX_ENCODED_BYTES} bytes when it holds anything but lower-case letters, "
            f"digits, '-' and '.', else at most {_MAX_PLAIN} characters",
        )
    return uid


def validate_route(route: object) -> str:
    """The route's name, if a StatefulRoute that has links can have it.

    Raises:
        InvalidParameterError: it is no DNS label.
    """
    if not isinstance(route, str):
        raise InvalidParameterError("route", f"must be a text, not {type(route).__name__}")
    if len(route) > _MAX_ROUTE or not _dns_label.fullmatch(route):
        raise InvalidParameterError(
            "route",
            f"must be a DNS label (lower-case letters, digits and '-', at most {_MAX_ROUTE} characters): "
            "it is the name of a StatefulRoute",
        )
    return route


def validate_pod(pod: object) -> PodKey:
    """The index or the name of a pod, if there can be such a pod.

    Raises:
        InvalidParameterError: it is an index that is negative or too large, a text that can be no pod's name, or
            neither a whole number nor a text.
    """
    if not isinstance(pod, str):
        return _validate_whole_number("pod", pod, 0)
    if len(pod) > _MAX_POD_NAME or not _dns_subdomain.fullmatch(pod):
        raise InvalidParameterError(
            "pod",
            f"must be a pod's name (lower-case letters, digits, '-' and '.', at most {_MAX_POD_NAME} characters) or "
            "its index",
        )
    return pod


def validate_load(field: str, load: object) -> int:
    """A figure of load, if a pod can have it.

    Raises:
        InvalidParameterError: it is no whole number, negative or too large.
    """
    return _validate_whole_number(field, load, 0)


def validate_ttl_seconds(ttl_seconds: object) -> int | None:
    """The TTL in seconds, if a link can have it; None is a persistent link.

    Raises:
        InvalidParameterError: it is no whole number, below 1 or too large.
    """
    return None if ttl_seconds is None else _validate_whole_number("ttl_seconds", ttl_seconds, 1)


def validate_grace_seconds(grace_seconds: object) -> int | None:
    """The grace in seconds that a removed link lives on; None removes it at once.

    Raises:
        InvalidParameterError: it is no whole number, below 1 or too large.
    """
    return None if grace_seconds is None else _validate_whole_number("grace_seconds", grace_seconds, 1)


def _validate_whole_number(field: str, value: object, minimum: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidParameterError(field, f"must be a whole number, not {_format_value(value)}")
    if not minimum <= value <= INT32_MAX:
        raise InvalidParameterError(field, f"must be from {minimum} to {INT32_MAX}, not {_format_value(value)}")
    return value


def _format_value(value: object) -> str:
    """A wrong value in a sentence; Python itself refuses to write down the longest numbers."""
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return f"a number of {value.bit_length()} bits"
    return repr(value) if isinstance(value, int | float) else f"a {type(value).__name__}"
