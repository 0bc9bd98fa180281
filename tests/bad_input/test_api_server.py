"""Whatever is thrown at the API server is taken or refused with a sentence, and the operator goes on."""

import logging

import pytest
from hypothesis import strategies as st

from bad_input.shapes import generated, misshapen, shaped
from bad_input.thrown import NUMBER, WAVE, Verdict, link_names, named, nearly, right_links, schema_of, throw
from harness.operator import OperatorProcess
from harness.patience import eventually
from harness.service import Service, condition_of
from harness.witness import PodLink, StatefulRoute

log = logging.getLogger(__name__)

#: What the API server may say to an object that it does not take: that it is wrong, or there already.
REFUSALS = {400, 403, 409, 413, 422}


def bad_links() -> st.SearchStrategy[object]:
    """Links of which most are nearly right."""
    spec = schema_of("podlinks")["properties"]["spec"]
    specs = st.one_of(misshapen(spec), nearly(right_links(), shaped(spec)), nearly(right_links(), misshapen(spec)))
    return specs.flatmap(lambda made: st.builds(named, st.just("PodLink"), st.just(made), link_names(made)))


def bad_routes() -> st.SearchStrategy[object]:
    """Routes of which most are nearly right."""
    spec = schema_of("statefulroutes")["properties"]["spec"]
    names = st.one_of(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=8))
    return st.builds(
        named, st.just("StatefulRoute"), st.one_of(shaped(spec), nearly(st.just({}), misshapen(spec))), names
    )


def is_answered(verdict: Verdict) -> bool:
    """Whether the API server has taken the object, or said what is wrong with it."""
    if verdict.code == 201:
        return True
    said = verdict.said
    return verdict.code in REFUSALS and said["kind"] == "Status" and bool(said["reason"] and said["message"])


def is_said_of(item: dict[str, object], status_of: str) -> bool:
    """Whether the operator has told of an object where it stands, and why."""
    ready = condition_of(item)
    return bool(ready.get("reason")) and (status_of != "PodLink" or "phase" in dict(item["status"]))  # type: ignore[call-overload]


@pytest.mark.timeout(120 + NUMBER)
@pytest.mark.parametrize(
    ("plural", "strategy"), [("podlinks", bad_links()), ("statefulroutes", bad_routes())], ids=["links", "routes"]
)
def test_it_is_taken_or_refused_with_a_sentence_and_nobody_is_held_up(
    plural: str, strategy: st.SearchStrategy[object], game: Service, own_operator: OperatorProcess
) -> None:
    kind = {"podlinks": PodLink, "statefulroutes": StatefulRoute}[plural]
    codes: list[int] = []
    for start in range(0, NUMBER, WAVE):
        items = generated(strategy, min(WAVE, NUMBER - start), start)
        verdicts = game.witness.at_once(lambda item: throw(game, plural, item), items)
        assert [verdict for verdict in verdicts if not is_answered(verdict)] == []
        codes += [verdict.code for verdict in verdicts]
        eventually(
            lambda: all(is_said_of(item, kind.kind) for item in game.witness.all(kind, game.namespace)),
            f"the operator has told of all of them, up to the {start + len(items)}th",
        )
        for name in {item["metadata"]["name"] for item in game.witness.all(kind, game.namespace)} - {game.name}:
            game.witness.delete(kind, name, game.namespace)
        eventually(lambda: len(game.witness.all(kind, game.namespace)) <= 1, "they are gone")
    log.info("of %s %s %s were taken", len(codes), plural, codes.count(201))
    assert NUMBER * 0.02 < codes.count(201) < NUMBER * 0.9  # else there is nothing to be learnt
    game.await_bound(game.link("afterwards"))
    assert own_operator.complaints() == []
