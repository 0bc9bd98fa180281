"""Runs a Prometheus that receives metrics by OTLP, and reads them by queries."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from helmchart.programs import prometheus as provide_prometheus
from localcluster.ports import free_port
from localcluster.progress import PlainProgress
from support.waiting import eventually


class Prometheus:
    """A running Prometheus.

    Attributes:
        otlp_endpoint: the URL for OTEL_EXPORTER_OTLP_ENDPOINT.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self.otlp_endpoint = f"http://{address}/api/v1/otlp"

    def series(self, selector: str) -> list[tuple[Mapping[str, str], float]]:
        """Returns the labels, which include `__name__`, and the value of each series that a selector selects."""
        result = self._get("query", query=selector)["data"]["result"]
        return [(each["metric"], float(each["value"][1])) for each in result]

    def is_ready(self) -> bool:
        """Returns whether it serves."""
        try:
            with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=10) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def _get(self, path: str, **query: str) -> Any:
        url = f"http://{self._address}/api/v1/{path}?{urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as response:
            return json.load(response)


@contextmanager
def running_prometheus(folder: Path) -> Iterator[Prometheus]:
    """Runs a Prometheus with its data in a folder; builds it before if needed."""
    configuration, address = folder / "prometheus.yml", f"127.0.0.1:{free_port()}"
    configuration.write_text("{}", encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                provide_prometheus(PlainProgress()),
                "--web.enable-otlp-receiver",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        prometheus = Prometheus(address)
        eventually(prometheus.is_ready, "Prometheus serves")
        yield prometheus
    finally:
        process.kill()
        process.wait()
