"""The validation rules of a PodLink in Python: the same rules as in its CustomResourceDefinition.

`tests/support/link_rules.py` lists cases that both are tested against.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable

from statefulroute.api.limits import (
    DNS_LABEL,
    DNS_LABEL_MAX_LENGTH,
    DNS_SUBDOMAIN,
    DNS_SUBDOMAIN_MAX_LENGTH,
    ENCODED_UID_MAX_BYTES,
    ENCODED_UID_PREFIX,
    INT32_MAX,
    SLOTS_MAX,
    UID_MAX_LENGTH,
)
from statefulroute.api.vocabulary import (
    RENEW_WITHOUT_TTL_MESSAGE,
    SLOT_WITH_TTL_MESSAGE,
    TWO_PODS_MESSAGE,
    UID_OR_SLOT_MESSAGE,
)
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import PodKey, link_name, slot_link_name

#: Longer integers are described by their length in messages: Python refuses to format the longest.
_MAX_FORMATTED_BITS = 64

_dns_label = re.compile(DNS_LABEL.removesuffix("$"))
_dns_subdomain = re.compile(DNS_SUBDOMAIN.removesuffix("$"))


def is_dns_label(text: str) -> bool:
    """Returns whether a text is a DNS label. Such a uid is valid."""
    return len(text) <= DNS_LABEL_MAX_LENGTH and _dns_label.fullmatch(text) is not None


def validate_uid(uid: object) -> str:
    """Returns the uid if a PodLink can have it.

    Raises:
        InvalidParameterError: the uid is not a string, is empty or too long, or contains control characters.
    """
    if not isinstance(uid, str):
        raise InvalidParameterError("uid", f"must be a string, not {type(uid).__name__}")
    if is_dns_label(uid):
        return uid  # most uids
    if not uid:
        raise InvalidParameterError("uid", "must not be empty")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in uid):
        raise InvalidParameterError("uid", "must not hold control characters")
    is_encoded = not link_name("", uid).endswith(f".{uid}")
    if len(uid) > UID_MAX_LENGTH or (is_encoded and len(uid.encode()) > ENCODED_UID_MAX_BYTES):
        raise InvalidParameterError(
            "uid",
            f"is too long: at most {ENCODED_UID_MAX_BYTES} bytes when it holds anything but lower-case letters, "
            f"digits, '-' and '.', else at most {UID_MAX_LENGTH} characters",
        )
    return uid


def validate_route(route: object) -> str:
    """Returns the name of a route if a StatefulRoute with PodLinks can have it.

    Raises:
        InvalidParameterError: the name is not a DNS label.
    """
    if not isinstance(route, str):
        raise InvalidParameterError("route", f"must be a string, not {type(route).__name__}")
    if not is_dns_label(route):
        raise InvalidParameterError(
            "route",
            f"must be a DNS label (lower-case letters, digits and '-', at most {DNS_LABEL_MAX_LENGTH} characters): "
            "it is the name of a StatefulRoute",
        )
    return route


def validate_pod(pod: object) -> PodKey:
    """Returns the index or the name of a pod if a pod can have it.

    Raises:
        InvalidParameterError: the index is negative or too large, the name is not a DNS subdomain, or the value is
            neither an integer nor a string.
    """
    if not isinstance(pod, str):
        return _validate_whole_number("pod", pod, 0)
    if len(pod) > DNS_SUBDOMAIN_MAX_LENGTH or not _dns_subdomain.fullmatch(pod):
        raise InvalidParameterError(
            "pod",
            "must be a pod's name (lower-case letters, digits, '-' and '.', at most "
            f"{DNS_SUBDOMAIN_MAX_LENGTH} characters) or its index",
        )
    return pod


def validate_strings(field: str, values: object) -> list[str]:
    """Returns the values as a list if they are several strings.

    Args:
        field: the name of the parameter, for the error.
        values: the values; one string is an error, because its characters would be taken for the values.

    Raises:
        InvalidParameterError: they are one string, or not iterable.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidParameterError(field, f"must be a list of strings, not {type(values).__name__}")
    return list(values)


def validate_load(field: str, load: object) -> int:
    """Returns a load value if a pod can report it.

    Args:
        field: the name of the value, for the error.
        load: the value.

    Raises:
        InvalidParameterError: the value is not an integer, is negative or too large.
    """
    return _validate_whole_number(field, load, 0)


def validate_ttl_seconds(ttl_seconds: object) -> int | None:
    """Returns a TTL in seconds if a PodLink can have it; None makes a persistent link.

    Raises:
        InvalidParameterError: the TTL is not an integer, is below 1 or too large.
    """
    return None if ttl_seconds is None else _validate_whole_number("ttl_seconds", ttl_seconds, 1)


def validate_grace_seconds(grace_seconds: object) -> int | None:
    """Returns the grace period in seconds after which a removed link ends; None and 0 remove it immediately.

    Raises:
        InvalidParameterError: the period is not an integer, is negative or too large.
    """
    return None if grace_seconds is None else _validate_whole_number("grace_seconds", grace_seconds, 0)


def _validate_whole_number(field: str, value: object, minimum: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidParameterError(field, f"must be a whole number, not {_format_value(value)}")
    if not minimum <= value <= INT32_MAX:
        raise InvalidParameterError(field, f"must be from {minimum} to {INT32_MAX}, not {_format_value(value)}")
    return value


def _format_value(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > _MAX_FORMATTED_BITS:
        return f"a number of {value.bit_length()} bits"
    return repr(value) if isinstance(value, int | float) else f"a {type(value).__name__}"


def find_violation(  # noqa: PLR0913, PLR0917 - the fields of a spec
    name: str,
    route_name: str,
    uid: str | None,
    slot: int | None,
    pod_index: int | None,
    pod_name: str | None,
    ttl_seconds: int | None,
    renew_time: str | None,
) -> str | None:
    """Returns the message of the first rule that a stored PodLink violates; None if it violates none.

    A PodLink may violate a rule if it was stored while its CustomResourceDefinition did not have the rule.

    Args:
        name: `metadata.name`.
        route_name: `spec.routeName`.
        uid: `spec.uid`.
        slot: `spec.slot`.
        pod_index: `spec.podIndex`.
        pod_name: `spec.podName`.
        ttl_seconds: `spec.ttlSeconds`.
        renew_time: `spec.renewTime`.
    """
    # Kubernetes has validated metadata.name, so the parts that form it unencoded have valid characters, too.
    has_valid_name = (
        uid
        and name == f"{route_name}.{uid}"
        and "." not in route_name
        and not uid.startswith(ENCODED_UID_PREFIX)
        and len(route_name) <= DNS_LABEL_MAX_LENGTH
        and len(uid) <= UID_MAX_LENGTH
    )
    if (not has_valid_name or slot is not None) and (
        violation := _find_name_violation(name, route_name, uid, slot, ttl_seconds)
    ):
        return violation
    if (pod_index is not None or pod_name is not None) and (violation := _find_pod_violation(pod_index, pod_name)):
        return violation
    if ttl_seconds is not None and not 1 <= ttl_seconds <= INT32_MAX:
        return f"ttlSeconds must be from 1 to {INT32_MAX}"
    return RENEW_WITHOUT_TTL_MESSAGE if renew_time is not None and ttl_seconds is None else None


def _find_name_violation(
    name: str, route_name: str, uid: str | None, slot: int | None, ttl_seconds: int | None
) -> str | None:
    violation = _parameter_violation("routeName", validate_route, route_name)
    if violation:
        return violation
    if (uid is None) == (slot is None):
        return UID_OR_SLOT_MESSAGE
    if slot is not None:
        if not 0 <= slot < SLOTS_MAX:
            return f"slot must be from 0 to {SLOTS_MAX - 1}"
        if ttl_seconds is not None:
            return SLOT_WITH_TTL_MESSAGE
        expected = slot_link_name(route_name, slot)
    elif violation := _parameter_violation("uid", validate_uid, uid):
        return violation
    else:
        expected = link_name(route_name, uid or "")
    return None if name == expected else f"metadata.name must be {expected}"


def _find_pod_violation(pod_index: int | None, pod_name: str | None) -> str | None:
    if pod_index is not None and not 0 <= pod_index <= INT32_MAX:
        return f"podIndex must be from 0 to {INT32_MAX}"
    if pod_index is not None and pod_name is not None:
        return TWO_PODS_MESSAGE
    if pod_name is not None and _parameter_violation("podName", validate_pod, pod_name):
        return "podName must be a pod's name: lower-case letters, digits, '-' and '.'"
    return None


def _parameter_violation(field: str, validate: Callable[[object], object], value: object) -> str | None:
    """Returns the message of a parameter's error with the name of the PodLink's field."""
    try:
        validate(value)
    except InvalidParameterError as error:
        return f"{field}{str(error).removeprefix(error.field)}"
    return None
