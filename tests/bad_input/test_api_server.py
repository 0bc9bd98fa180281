"""The API server accepts or rejects any object with a message, and the operator continues."""

import logging

import pytest
from hypothesis import strategies as st

from bad_input.schema_strategies import generated, matching_schema, violating_schema
from bad_input.submission import (
    BATCH_SIZE,
    OBJECT_COUNT,
    Submission,
    link_names,
    named,
    nearly_valid,
    schema_of,
    submit,
    valid_links,
)
from support.independent_client import PodLink, StatefulRoute
from support.operator_process import OperatorProcess
from support.service import Service, condition_of
from support.waiting import eventually

log = logging.getLogger(__name__)

#: The status codes for rejected objects: invalid, or already existing.
REFUSALS = {400, 403, 409, 413, 422}


def bad_links() -> st.SearchStrategy[object]:
    """Returns links, most of which are nearly valid."""
    spec = schema_of("podlinks")["properties"]["spec"]
    specs = st.one_of(
        violating_schema(spec),
        nearly_valid(valid_links(), matching_schema(spec)),
        nearly_valid(valid_links(), violating_schema(spec)),
    )
    return specs.flatmap(lambda spec: st.builds(named, st.just("PodLink"), st.just(spec), link_names(spec)))


def bad_routes() -> st.SearchStrategy[object]:
    """Returns routes, most of which are nearly valid."""
    spec = schema_of("statefulroutes")["properties"]["spec"]
    names = st.one_of(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=8))
    return st.builds(
        named,
        st.just("StatefulRoute"),
        st.one_of(matching_schema(spec), nearly_valid(st.just({}), violating_schema(spec))),
        names,
    )


def has_valid_response(submission: Submission) -> bool:
    """Returns whether the API server accepted the object, or rejected it with a reason and a message."""
    if submission.code == 201:
        return True
    status = submission.response
    return submission.code in REFUSALS and status["kind"] == "Status" and bool(status["reason"] and status["message"])


def has_condition(item: dict[str, object], status_of: str) -> bool:
    """Returns whether the operator has written the status of an object."""
    ready = condition_of(item)
    return bool(ready.get("reason")) and (status_of != "PodLink" or "phase" in dict(item["status"]))  # type: ignore[call-overload]


@pytest.mark.timeout(120 + OBJECT_COUNT)
@pytest.mark.parametrize(
    ("plural", "strategy"), [("podlinks", bad_links()), ("statefulroutes", bad_routes())], ids=["links", "routes"]
)
def test_objects_are_accepted_or_rejected_with_a_message_and_the_operator_continues(
    plural: str, strategy: st.SearchStrategy[object], game: Service, own_operator: OperatorProcess
) -> None:
    kind = {"podlinks": PodLink, "statefulroutes": StatefulRoute}[plural]
    codes: list[int] = []
    for start in range(0, OBJECT_COUNT, BATCH_SIZE):
        items = generated(strategy, min(BATCH_SIZE, OBJECT_COUNT - start), start)
        submissions = game.client.in_parallel(lambda item: submit(game, plural, item), items)
        assert [submission for submission in submissions if not has_valid_response(submission)] == []
        codes += [submission.code for submission in submissions]
        eventually(
            lambda: all(has_condition(item, kind.kind) for item in game.client.all(kind, game.namespace)),
            f"the operator has written the status of all objects up to number {start + len(items)}",
        )
        for name in {item["metadata"]["name"] for item in game.client.all(kind, game.namespace)} - {game.name}:
            game.client.delete(kind, name, game.namespace)
        eventually(lambda: len(game.client.all(kind, game.namespace)) <= 1, "the objects are deleted")
    log.info("of %s %s, the API server accepted %s", len(codes), plural, codes.count(201))
    assert OBJECT_COUNT * 0.02 < codes.count(201) < OBJECT_COUNT * 0.9  # otherwise the test checks nothing
    game.await_bound(game.link("afterwards"))
    assert own_operator.errors() == []
