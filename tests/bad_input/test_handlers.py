"""Links that got in before the rules and the policy were there: the operator holds them to both, all the same."""

import logging

import pytest
from hypothesis import strategies as st

from bad_input.schema_strategies import generated, matching_schema
from bad_input.submission import (
    OBJECT_COUNT,
    Submission,
    link_names,
    named,
    nearly_valid,
    schema_of,
    submit,
    valid_links,
)
from support.admission import without_policy, without_rules
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess
from support.service import Service, condition_of
from support.waiting import eventually

log = logging.getLogger(__name__)

REJECTIONS = {"NotLocalNamespace", "Invalid"}


def links() -> st.SearchStrategy[dict[str, object]]:
    """Links of the shape that a link has: most break a rule."""
    odd = matching_schema(schema_of("podlinks")["properties"]["spec"])
    specs = st.one_of(odd, nearly_valid(valid_links(), odd))
    return specs.flatmap(lambda made: st.builds(named, st.just("PodLink"), st.just(made), link_names(made)))


def admitted_links(game: Service, kubectl: Kubectl) -> dict[str, Submission]:
    """Throw links while neither rules nor policy are there; gives those that got in, by their names."""
    made = generated(links(), OBJECT_COUNT)
    with without_policy(game, kubectl), without_rules(game, kubectl):
        verdicts = game.client.in_parallel(lambda item: submit(game, "podlinks", item), made)
    assert {verdict.code for verdict in verdicts} <= {201, 409, 422}
    return {verdict.name: verdict for verdict in verdicts if verdict.code == 201}


def is_rejected(link: dict[str, object]) -> bool:
    """Whether the operator has rejected a link, and said why."""
    ready = condition_of(link)
    return dict(link["status"])["phase"] == "Rejected" and ready["reason"] in REJECTIONS and bool(ready["message"])  # type: ignore[call-overload]


@pytest.mark.timeout(180 + OBJECT_COUNT)
@pytest.mark.usefixtures("quiet_cluster")
def test_whoever_breaks_a_rule_is_rejected_once_with_a_reason_and_nobody_else_is(
    game: Service, installed: Kubectl, own_operator: OperatorProcess
) -> None:
    written = game.client.count_requests()
    entered = admitted_links(game, installed)
    assert len(entered) > OBJECT_COUNT / 4
    settled = lambda: all("phase" in link.get("status", {}) for link in game.links())  # noqa: E731
    eventually(settled, "each has its status")
    there = {link["metadata"]["name"]: link for link in game.links()}
    judged = game.client.in_parallel(lambda name: submit(game, "podlinks", entered[name].item, dry_run=True), there)
    # What is right is there already, or has expired meanwhile.
    broken = {name for name, verdict in zip(there, judged, strict=True) if verdict.code not in {201, 409}}
    assert {name for name, link in there.items() if is_rejected(link)} == broken
    # Of those that are gone, each had a time that was over, and broke no rule.
    gone = [verdict.item["spec"] for name, verdict in entered.items() if name not in there]
    assert [spec for spec in gone if spec.get("ttlSeconds", 0) < 1] == []
    assert len(there) <= written.total("PATCH", "podlinks", "status") <= len(entered)  # each once, and none in vain
    log.info("%s got in, %s break a rule, %s have expired", len(entered), len(broken), len(gone))
    own_operator.stop()
    own_operator.start()
    game.await_bound(game.link("afterwards"))
    assert written.total("PATCH", "podlinks", "status") <= len(entered) + 1
    assert own_operator.errors() == []
