"""Losses that do not count until the API server has verified them."""

from collections.abc import Mapping

import pytest

from statefulroute.api.vocabulary import LossCause
from statefulroute.domain.keys import PodKey
from statefulroute.domain.loss import Absence, AbsentPod
from statefulroute.domain.loss_verification import withhold_unverified
from statefulroute.domain.route import PodLoss
from unit.domain.builders import view

GONE = AbsentPod(Absence.GONE, LossCause.POD_DELETED, 1000.0)
LOSS = PodLoss(LossCause.POD_DELETED, "has been gone for more than 30 s", is_grace_over=True)


@pytest.mark.parametrize(
    ("verified", "counts"),
    [
        ({}, False),
        ({0: GONE}, True),
        ({1: GONE}, False),
        ({0: AbsentPod(Absence.GONE, LossCause.POD_DELETED, 990.0)}, False),
        ({0: AbsentPod(Absence.NOT_READY, LossCause.NOT_READY, 1000.0)}, False),
    ],
    ids=["none", "this", "of another pod", "an earlier one", "another reason"],
)
def test_loss_counts_once_this_absence_of_the_pod_is_verified(
    verified: Mapping[PodKey, AbsentPod], counts: bool
) -> None:
    route_view, unverified = withhold_unverified(view(lost={0: LOSS}), {0}, {0: GONE}, verified)
    assert (route_view.lost, route_view.withheld_losses) == (({0: LOSS}, {}) if counts else ({}, {0: LOSS}))
    assert unverified == ({} if counts else {0: GONE})


def test_loss_of_a_pod_without_links_needs_no_verification() -> None:
    route_view, unverified = withhold_unverified(view(lost={0: LOSS, 1: LOSS}), {1}, {0: GONE, 1: GONE}, {})
    assert (route_view.lost, unverified) == ({0: LOSS}, {1: GONE})


def test_absent_pod_that_is_not_lost_yet_needs_no_verification() -> None:
    route_view = view()
    assert withhold_unverified(route_view, {0}, {0: GONE}, {}) == (route_view, {})
