"""Links that got in before the rules and the policy were there: the operator holds them to both, all the same."""

import logging

import pytest
from hypothesis import strategies as st

from bad_input.shapes import generated, shaped
from bad_input.thrown import NUMBER, Verdict, link_names, named, nearly, right_links, schema_of, throw
from harness.admission import unguarded, without_rules
from harness.kubectl import Kubectl
from harness.operator import OperatorProcess
from harness.patience import eventually
from harness.service import Service, condition_of

log = logging.getLogger(__name__)

REJECTIONS = {"NotLocalNamespace", "Invalid"}


def links() -> st.SearchStrategy[dict[str, object]]:
    """Links of the shape that a link has: most break a rule."""
    odd = shaped(schema_of("podlinks")["properties"]["spec"])
    specs = st.one_of(odd, nearly(right_links(), odd))
    return specs.flatmap(lambda made: st.builds(named, st.just("PodLink"), st.just(made), link_names(made)))


def let_in(game: Service, kubectl: Kubectl) -> dict[str, Verdict]:
    """Throw links while neither rules nor policy are there; gives those that got in, by their names."""
    made = generated(links(), NUMBER)
    with unguarded(game, kubectl), without_rules(game, kubectl):
        verdicts = game.witness.at_once(lambda item: throw(game, "podlinks", item), made)
    assert {verdict.code for verdict in verdicts} <= {201, 409, 422}
    return {verdict.name: verdict for verdict in verdicts if verdict.code == 201}


def is_rejected(link: dict[str, object]) -> bool:
    """Whether the operator has rejected a link, and said why."""
    ready = condition_of(link)
    return dict(link["status"])["phase"] == "Rejected" and ready["reason"] in REJECTIONS and bool(ready["message"])  # type: ignore[call-overload]


@pytest.mark.timeout(180 + NUMBER)
@pytest.mark.usefixtures("nothing_else_happens")
def test_whoever_breaks_a_rule_is_rejected_once_with_a_reason_and_nobody_else_is(
    game: Service, installed: Kubectl, own_operator: OperatorProcess
) -> None:
    written = game.witness.count()
    entered = let_in(game, installed)
    assert len(entered) > NUMBER / 4
    settled = lambda: all("phase" in link.get("status", {}) for link in game.links())  # noqa: E731
    eventually(settled, "each has its status")
    there = {link["metadata"]["name"]: link for link in game.links()}
    judged = game.witness.at_once(lambda name: throw(game, "podlinks", entered[name].item, dry_run=True), there)
    # What is right is there already, or has expired meanwhile.
    broken = {name for name, verdict in zip(there, judged, strict=True) if verdict.code not in {201, 409}}
    assert {name for name, link in there.items() if is_rejected(link)} == broken
    # Of those that are gone, each had a time that was over, and broke no rule.
    gone = [verdict.item["spec"] for name, verdict in entered.items() if name not in there]
    assert [spec for spec in gone if spec.get("ttlSeconds", 0) < 1] == []
    assert len(there) <= written.of("PATCH", "podlinks", "status") <= len(entered)  # each once, and none in vain
    log.info("%s got in, %s break a rule, %s have expired", len(entered), len(broken), len(gone))
    own_operator.stop()
    own_operator.start()
    game.await_bound(game.link("afterwards"))
    assert written.of("PATCH", "podlinks", "status") <= len(entered) + 1
    assert own_operator.complaints() == []
