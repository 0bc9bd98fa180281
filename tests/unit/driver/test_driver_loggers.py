"""Tests what the loggers of an application receive."""

import logging
from typing import Any

import pytest

from statefulroute import InvalidParameterError
from statefulroute.cluster import field_logger
from statefulroute.testing import InMemoryCluster

HERE = "play"


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster(HERE)
    cluster.add_service("game", pods=1)
    return cluster


class _EventLogger:
    """A logger of events with fields, as structlog's."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    warning = info


class _Prefix(logging.LoggerAdapter[Any]):
    def process(self, msg: Any, kwargs: Any) -> Any:
        return f"[room 7] {msg}", kwargs


async def test_adapter_keeps_the_fields_and_adds_its_own(
    cluster: InMemoryCluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "chat")
    inner = logging.LoggerAdapter(logging.getLogger("chat"), {"room": 7})
    driver = cluster.server_driver("game", 0, logger=_Prefix(inner, {}))
    await driver.set_linked_pod(HERE, "alice", "game", 0)
    (record,) = caplog.records
    assert record.getMessage().startswith("[room 7] set_linked_pod namespace=play uid=alice")
    assert (vars(record)["room"], vars(record)["statefulroute"]["uid"]) == (7, "alice")


async def test_hashes_uids_for_the_loggers_of_all_drivers(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(field_logger, "_redactor", None)
    logger = _EventLogger()
    driver = cluster.server_driver("game", 0, logger=logger)
    await driver.set_linked_pod(HERE, "alice", "game", 0)
    cluster.client_driver(hash_uids=True)
    await driver.set_linked_pod(HERE, "alice", "game", 0)
    before, after = (line["uid"] for line in logger.lines)
    assert (before, after[0]) == ("alice", "~")


@pytest.mark.parametrize("uid", [12345678, ["alice"], b"alice", "alice\ud800"])
async def test_hashes_uids_that_are_mistakes(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch, uid: Any
) -> None:
    monkeypatch.setattr(field_logger, "_redactor", None)
    logger = _EventLogger()
    driver = cluster.server_driver("game", 0, logger=logger, hash_uids=True)
    with pytest.raises(InvalidParameterError):
        await driver.set_linked_pod(HERE, uid, "game", 0)
    text = str(logger.lines)
    assert "'uid': '~" in text
    assert "alice" not in text
    assert "12345678" not in text
