"""Tests that the load of the chaos suite reports its own errors."""

from pathlib import Path

import pytest

from chaos.load_generator import LoadGenerator, LoadSettings
from chaos.record import RecordWriter
from support.waiting import eventually


def test_an_unexpected_error_of_an_operation_stops_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(*_: object) -> None: ...

    async def fail(*_: object) -> None:
        raise AttributeError("no such method")

    monkeypatch.setattr(LoadGenerator, "_connect", connect)
    monkeypatch.setattr(LoadGenerator, "_run_operation", fail)
    settings = LoadSettings("play", (), tmp_path, "127.0.0.1:1")
    record = RecordWriter(tmp_path / "record")
    load = LoadGenerator(settings, record, rate=1000, seed=1)
    load.start()
    eventually(lambda: load._failure is not None, "it has failed")  # noqa: SLF001
    with pytest.raises(AssertionError, match="the load stopped because of an error"):
        load.stop()
    record.close()
