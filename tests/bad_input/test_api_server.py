"""Whatever is thrown at the API server is taken or refused with a sentence, and the operator goes on."""

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

#: What the API server may say to an object that it does not take: that it is wrong, or there already.
REFUSALS = {400, 403, 409, 413, 422}


def bad_links() -> st.SearchStrategy[object]:
    """Links of which most are nearly right."""
    spec = schema_of("podlinks")["properties"]["spec"]
    specs = st.one_of(
        violating_schema(spec),
        nearly_valid(valid_links(), matching_schema(spec)),
        nearly_valid(valid_links(), violating_schema(spec)),
    )
    return specs.flatmap(lambda made: st.builds(named, st.just("PodLink"), st.just(made), link_names(made)))


def bad_routes() -> st.SearchStrategy[object]:
    """Routes of which most are nearly right."""
    spec = schema_of("statefulroutes")["properties"]["spec"]
    names = st.one_of(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=8))
    return st.builds(
        named,
        st.just("StatefulRoute"),
        st.one_of(matching_schema(spec), nearly_valid(st.just({}), violating_schema(spec))),
        names,
    )


def is_answered(verdict: Submission) -> bool:
    """Whether the API server has taken the object, or said what is wrong with it."""
    if verdict.code == 201:
        return True
    said = verdict.response
    return verdict.code in REFUSALS and said["kind"] == "Status" and bool(said["reason"] and said["message"])


def has_condition(item: dict[str, object], status_of: str) -> bool:
    """Whether the operator has told of an object where it stands, and why."""
    ready = condition_of(item)
    return bool(ready.get("reason")) and (status_of != "PodLink" or "phase" in dict(item["status"]))  # type: ignore[call-overload]


@pytest.mark.timeout(120 + OBJECT_COUNT)
@pytest.mark.parametrize(
    ("plural", "strategy"), [("podlinks", bad_links()), ("statefulroutes", bad_routes())], ids=["links", "routes"]
)
def test_it_is_taken_or_refused_with_a_sentence_and_nobody_is_held_up(
    plural: str, strategy: st.SearchStrategy[object], game: Service, own_operator: OperatorProcess
) -> None:
    kind = {"podlinks": PodLink, "statefulroutes": StatefulRoute}[plural]
    codes: list[int] = []
    for start in range(0, OBJECT_COUNT, BATCH_SIZE):
        items = generated(strategy, min(BATCH_SIZE, OBJECT_COUNT - start), start)
        verdicts = game.client.in_parallel(lambda item: submit(game, plural, item), items)
        assert [verdict for verdict in verdicts if not is_answered(verdict)] == []
        codes += [verdict.code for verdict in verdicts]
        eventually(
            lambda: all(has_condition(item, kind.kind) for item in game.client.all(kind, game.namespace)),
            f"the operator has told of all of them, up to the {start + len(items)}th",
        )
        for name in {item["metadata"]["name"] for item in game.client.all(kind, game.namespace)} - {game.name}:
            game.client.delete(kind, name, game.namespace)
        eventually(lambda: len(game.client.all(kind, game.namespace)) <= 1, "they are gone")
    log.info("of %s %s %s were taken", len(codes), plural, codes.count(201))
    assert OBJECT_COUNT * 0.02 < codes.count(201) < OBJECT_COUNT * 0.9  # else there is nothing to be learnt
    game.await_bound(game.link("afterwards"))
    assert own_operator.errors() == []
