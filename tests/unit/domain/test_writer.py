"""When a new version of a route shows that another operator has written its status."""

from dataclasses import replace
from typing import Any

import pytest

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.domain.route import Route
from statefulroute.domain.writer import foreign_writer
from unit.domain.builders import route


def version(uid: str = "1", **status: Any) -> Route:
    """A version of the route with a status."""
    return replace(route(StatefulRouteStatus(**status)), uid=uid)


@pytest.mark.parametrize(
    ("old", "new", "writer"),
    [
        (version(operator="me"), version(operator="other", links=1), "other"),
        (version(operator="me"), version(operator="other"), "other"),
        (version(operator="other"), version(operator="other", links=1), "other"),
        (version(operator="other"), version(operator="other"), None),
        (version(operator="other"), version(operator="other", observed_generation=2), None),
        (version(operator="other"), version(operator="me", links=1), None),
        (version(operator="me"), version(operator="me", links=1), None),
        (version(operator="me"), version(operator="former", links=1), None),
        (version(), version(links=1), None),
        (None, version(operator="other", links=1), None),
        (version(operator="me"), None, None),
        (version(operator="me"), version("2", operator="other"), None),
    ],
    ids=[
        "replaces this operator",
        "replaces this operator alone",
        "writes again",
        "has not written",
        "kopf has written the generation",
        "is replaced",
        "this operator writes",
        "predecessor",
        "definition without the field",
        "first version",
        "deletion",
        "new route of the same name",
    ],
)
def test_writer_of_a_new_status_is_foreign_unless_known(
    old: Route | None, new: Route | None, writer: str | None
) -> None:
    assert foreign_writer(old, new, "me", {"former"}, 0) == writer
