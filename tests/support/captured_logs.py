"""Captures what the libraries log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from statefulroute.cluster.field_logger import FIELDS_ATTRIBUTE, Message


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.msg, Message):
            fields = getattr(record, FIELDS_ATTRIBUTE)
            self.lines.append({"event": record.msg.event, "log_level": record.levelname.lower(), **fields})


@contextmanager
def captured_logs() -> Iterator[list[dict[str, Any]]]:
    """Collects the lines that are logged in the context: their events, levels and fields."""
    collector, logger = _Collector(), logging.getLogger("statefulroute")
    level = logger.level
    logger.addHandler(collector)
    logger.setLevel(logging.DEBUG)
    try:
        yield collector.lines
    finally:
        logger.removeHandler(collector)
        logger.setLevel(level)
