"""Tests how statuses are written while the served CustomResourceDefinition is of an older version."""

from typing import Any

import pytest

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.vocabulary import ConditionType
from statefulroute.cluster.errors import APIError
from statefulroute.cluster.served_definition import ServedDefinition

TIME = "2026-01-01T00:00:00Z"


def status_with(*types: ConditionType) -> StatefulRouteStatus:
    conditions: list[dict[str, Any]] = [
        {"type": each, "status": "True", "reason": "Fine", "message": "", "lastTransitionTime": TIME} for each in types
    ]
    return StatefulRouteStatus.model_validate({"links": 4, "conditions": conditions})


STATUS = status_with(ConditionType.READY, ConditionType.LINKS_SERVED, ConditionType.LOAD_FRESH)


def refusal(field: str) -> APIError:
    return APIError(422, "Invalid", "it is invalid", field)


class Time:
    def __init__(self) -> None:
        self.seconds = 50.0

    def __call__(self) -> float:
        return self.seconds


def test_all_conditions_are_accepted_until_one_is_refused() -> None:
    definition = ServedDefinition()
    assert definition.accepted_part(STATUS) is STATUS
    assert not definition.is_checked


def test_only_the_refused_condition_is_left_out() -> None:
    definition = ServedDefinition()
    assert definition.status_refused(STATUS, refusal("status.conditions[1].type"))
    accepted = definition.accepted_part(STATUS)
    assert accepted == status_with(ConditionType.READY, ConditionType.LOAD_FRESH)
    assert definition.status_refused(accepted, refusal("status.conditions[1].type"))
    assert definition.accepted_part(STATUS) == status_with(ConditionType.READY)


@pytest.mark.parametrize(
    "field", ["", "status.conditions", "status.conditions[3].type", "status.conditions[1].reason", "spec.load"]
)
def test_another_refusal_leaves_nothing_out(field: str) -> None:
    definition = ServedDefinition()
    assert not definition.status_refused(STATUS, refusal(field))
    assert definition.accepted_part(STATUS) is STATUS


def test_an_upgraded_definition_is_noticed_after_ten_minutes() -> None:
    definition = ServedDefinition(time := Time())
    definition.status_refused(STATUS, refusal("status.conditions[1].type"))
    definition.status_accepted()
    time.seconds += 599
    definition.status_accepted()
    definition.forget_expired()
    assert definition.is_checked
    assert definition.accepted_part(STATUS) != STATUS
    time.seconds += 1
    assert not definition.is_checked
    definition.forget_expired()
    assert definition.accepted_part(STATUS) is STATUS
