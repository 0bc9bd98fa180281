"""Tests an operator that keeps the managedFields of links."""

from collections.abc import Iterator

import pytest

from support.operator_process import OperatorProcess, OperatorSlot
from support.service import Service


@pytest.fixture(scope="module")
def operator(operator_slot: OperatorSlot) -> Iterator[OperatorProcess]:
    """The operator with `--keep-managed-fields`."""
    with operator_slot.acquire(None, "--keep-managed-fields") as process:
        yield process.start()
        process.stop()


@pytest.mark.usefixtures("operator")
def test_managed_fields_tell_who_has_chosen_a_pod_and_who_has_written_the_status(game: Service) -> None:
    name = game.link("alice")
    game.await_bound(name)
    operator_entries = [
        (entry.get("subresource"), "f:spec" in entry["fieldsV1"])
        for entry in game.get(name)["metadata"]["managedFields"]
        if entry["manager"] == "statefulroute"
    ]
    assert operator_entries == [(None, True), ("status", False)]
