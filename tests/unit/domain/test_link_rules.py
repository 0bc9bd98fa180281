"""The validation rules of PodLinks in Python."""

from collections.abc import Callable
from typing import Any

import pytest

from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.validation import (
    find_violation,
    validate_pod,
    validate_route,
    validate_ttl_seconds,
    validate_uid,
)
from support.link_rules import LINK_RULES, LinkRuleCase
from support.objects import ABSENT


def spec_of(case: LinkRuleCase) -> dict[str, Any]:
    spec = {"routeName": "game", "uid": "alice", **case.spec}
    return {field: value for field, value in spec.items() if value is not ABSENT}


@pytest.mark.parametrize("case", LINK_RULES, ids=str)
def test_find_violation_returns_the_message_of_the_first_violated_rule(case: LinkRuleCase) -> None:
    spec = spec_of(case)
    message = find_violation(
        case.name,
        spec["routeName"],
        spec.get("uid"),
        spec.get("slot"),
        spec.get("podIndex"),
        spec.get("podName"),
        spec.get("ttlSeconds"),
        spec.get("renewTime"),
    )
    assert message == case.message


PARAMETERS: dict[str, Callable[[object], object]] = {
    "routeName": validate_route,
    "uid": validate_uid,
    "podIndex": validate_pod,
    "podName": validate_pod,
    "ttlSeconds": validate_ttl_seconds,
}


def is_valid(field: str, value: object) -> bool:
    try:
        PARAMETERS[field](value)
    except InvalidParameterError:
        return False
    return True


@pytest.mark.parametrize("case", LINK_RULES, ids=str)
def test_parameters_are_rejected_by_the_rules_of_their_field(case: LinkRuleCase) -> None:
    spec = spec_of(case)
    rejected = {field for field in PARAMETERS if field in spec and not is_valid(field, spec[field])}
    message = case.message or ""
    violated = {field for field in PARAMETERS if message.startswith((f"{field} must", f"{field} is"))}
    assert rejected == violated
