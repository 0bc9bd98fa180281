"""Links that were stored before the rules and the policy existed. The operator applies the rules to them."""

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
    """Returns links that match the schema, most of which violate a rule."""
    matching = matching_schema(schema_of("podlinks")["properties"]["spec"])
    specs = st.one_of(matching, nearly_valid(valid_links(), matching))
    return specs.flatmap(lambda spec: st.builds(named, st.just("PodLink"), st.just(spec), link_names(spec)))


def admitted_links(game: Service, kubectl: Kubectl) -> dict[str, Submission]:
    """Creates links while neither rules nor policy exist; returns the accepted ones by name."""
    items = generated(links(), OBJECT_COUNT)
    with without_policy(game, kubectl), without_rules(game, kubectl):
        submissions = game.client.in_parallel(lambda item: submit(game, "podlinks", item), items)
    assert {submission.code for submission in submissions} <= {201, 409, 422}
    return {submission.name: submission for submission in submissions if submission.code == 201}


def is_rejected(link: dict[str, object]) -> bool:
    """Returns whether the operator rejected a link with a reason and a message."""
    ready = condition_of(link)
    return dict(link["status"])["phase"] == "Rejected" and ready["reason"] in REJECTIONS and bool(ready["message"])  # type: ignore[call-overload]


@pytest.mark.timeout(180 + OBJECT_COUNT)
@pytest.mark.usefixtures("quiet_cluster")
def test_exactly_the_invalid_links_are_rejected_once_with_a_reason(
    game: Service, installed: Kubectl, own_operator: OperatorProcess
) -> None:
    requests = game.client.count_requests()
    accepted = admitted_links(game, installed)
    assert len(accepted) > OBJECT_COUNT / 4
    have_status = lambda: all("phase" in link.get("status", {}) for link in game.links())  # noqa: E731
    eventually(have_status, "all links have a status")
    stored = {link["metadata"]["name"]: link for link in game.links()}
    resubmitted = game.client.in_parallel(
        lambda name: submit(game, "podlinks", accepted[name].item, dry_run=True), stored
    )
    # A valid link exists already, or has expired in the meantime.
    invalid = {name for name, submission in zip(stored, resubmitted, strict=True) if submission.code not in {201, 409}}
    assert {name for name, link in stored.items() if is_rejected(link)} == invalid
    # The deleted links were valid and had expired.
    deleted = [submission.item["spec"] for name, submission in accepted.items() if name not in stored]
    assert [spec for spec in deleted if spec.get("ttlSeconds", 0) < 1] == []
    assert len(stored) <= requests.total("PATCH", "podlinks", "status") <= len(accepted)  # one write for each link
    log.info("%s links were accepted, %s violate a rule, %s have expired", len(accepted), len(invalid), len(deleted))
    own_operator.stop()
    own_operator.start()
    game.await_bound(game.link("afterwards"))
    assert requests.total("PATCH", "podlinks", "status") <= len(accepted) + 1
    assert own_operator.errors() == []
