"""Reads the probes and metrics of an operator, as a kubelet and Prometheus do."""

import http.client
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from support.operator_process import OperatorProcess
from support.waiting import eventually

#: The operator's option: the system chooses the port, and the log contains it.
ANY_PORT = ("--bind-address", "127.0.0.1:0")

#: The timeout of a response: Prometheus' default. A kubelet waits one second, but it does not share its machine with
#: tests.
TIMEOUT_SECONDS = 10.0

_LISTENING_EVENT = "serving probes and metrics"


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """A response.

    Attributes:
        code: the HTTP status.
        text: the body.
        content_type: the Content-Type header.
    """

    code: int
    text: str
    content_type: str


def http_get(address: str, path: str, *, seconds: float = TIMEOUT_SECONDS) -> HTTPResponse:
    """Sends a GET request to an address.

    Raises:
        OSError: No response arrived.
    """
    connection = http.client.HTTPConnection(address, timeout=seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return HTTPResponse(response.status, response.read().decode(), response.headers["Content-Type"])
    finally:
        connection.close()


class Scrape:
    """The result of one scrape.

    Attributes:
        text: the body.
        families: each metric by its name.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: Mapping[str, Metric] = {each.name: each for each in text_string_to_metric_families(text)}

    def value(self, sample: str, **labels: str) -> float | None:
        """Returns the sum of the samples of this name with at least these labels; None if there is no sample."""
        values = [value for _, value in self.samples(sample, **labels)]
        return sum(values) if values else None

    def samples(self, sample: str, **labels: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """Yields the labels and the value of each sample of this name with at least these labels."""
        for family in self.families.values():
            for each in family.samples:
                if each.name == sample and labels.items() <= each.labels.items():
                    yield each.labels, each.value


class MonitoredOperator:
    """An operator that serves probes and metrics.

    Args:
        operator: Its process, started with `--bind-address`.
    """

    def __init__(self, operator: OperatorProcess) -> None:
        self.operator = operator

    @property
    def address(self) -> str:
        """The address that it serves, from its log; waits for it."""
        eventually(self._addresses, "the operator logs where it listens")
        return self._addresses()[-1]

    def probe(self, path: str, *, seconds: float = TIMEOUT_SECONDS) -> HTTPResponse:
        """Sends a request as a kubelet does.

        Raises:
            OSError: No response arrived in time.
        """
        return http_get(self.address, path, seconds=seconds)

    def scrape(self) -> Scrape:
        """Sends a request as Prometheus does."""
        response = http_get(self.address, "/metrics")
        assert (response.code, response.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
        return Scrape(response.text)

    def await_value(self, expected: float | None, sample: str, **labels: str) -> None:
        """Waits until the samples of a name with these labels have this sum."""
        current: list[float | None] = [None]

        def holds() -> bool:
            current[0] = self.scrape().value(sample, **labels)
            return current[0] == expected

        try:
            eventually(holds, f"{sample} {labels} is {expected}")
        except TimeoutError as late:
            raise AssertionError(f"{late}; it is {current[0]}") from None

    def _addresses(self) -> list[str]:
        return [
            address
            for line in self.operator.lines
            if line["event"] == _LISTENING_EVENT
            for address in line["addresses"]
        ]
