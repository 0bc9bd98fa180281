"""What a kubelet and Prometheus see of an operator."""

import http.client
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from support.operator_process import OperatorProcess
from support.waiting import eventually

#: As the option of the operator: the system chooses the port, and the log tells it.
ANY_PORT = ("--bind-address", "127.0.0.1:0")

#: How long an answer may take: as long as Prometheus waits by default. A kubelet waits for a second, but its machine is
#: not one that runs tests.
TIMEOUT_SECONDS = 10.0

_LISTENING_EVENT = "answering probes and Prometheus"


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """What was answered.

    Attributes:
        code: the HTTP status.
        text: the body.
        content_type: what it says that the body is.
    """

    code: int
    text: str
    content_type: str


def http_get(address: str, path: str, *, seconds: float = TIMEOUT_SECONDS) -> HTTPResponse:
    """Ask an address for a path.

    Raises:
        OSError: No answer came.
    """
    connection = http.client.HTTPConnection(address, timeout=seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return HTTPResponse(response.status, response.read().decode(), response.headers["Content-Type"])
    finally:
        connection.close()


class Scrape:
    """What one scrape has brought.

    Attributes:
        text: as it was sent.
        families: each metric by its name.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: Mapping[str, Metric] = {each.name: each for each in text_string_to_metric_families(text)}

    def value(self, sample: str, **labels: str) -> float | None:
        """The sum of the samples of this name that have these labels, whatever others they have; None without any."""
        found = [value for _, value in self.samples(sample, **labels)]
        return sum(found) if found else None

    def samples(self, sample: str, **labels: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """The labels and the value of each sample of this name that has these labels."""
        for family in self.families.values():
            for each in family.samples:
                if each.name == sample and labels.items() <= each.labels.items():
                    yield each.labels, each.value


class MonitoredOperator:
    """An operator that answers probes and Prometheus.

    Args:
        operator: Its process, started with a `--bind-address`.
    """

    def __init__(self, operator: OperatorProcess) -> None:
        self.operator = operator

    @property
    def address(self) -> str:
        """Where it answers, as its log tells; waits until it does."""
        eventually(self._addresses, "the operator tells where it answers")
        return self._addresses()[-1]

    def probe(self, path: str, *, seconds: float = TIMEOUT_SECONDS) -> HTTPResponse:
        """Ask as a kubelet does.

        Raises:
            OSError: No answer came in time.
        """
        return http_get(self.address, path, seconds=seconds)

    def scrape(self) -> Scrape:
        """Ask as Prometheus does."""
        answer = http_get(self.address, "/metrics")
        assert (answer.code, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
        return Scrape(answer.text)

    def await_value(self, expected: float | None, sample: str, **labels: str) -> None:
        """Wait until the samples of a name that have these labels say this together."""
        said: list[float | None] = [None]

        def holds() -> bool:
            said[0] = self.scrape().value(sample, **labels)
            return said[0] == expected

        try:
            eventually(holds, f"{sample} {labels} is {expected}")
        except TimeoutError as late:
            raise AssertionError(f"{late}; it is {said[0]}") from None

    def _addresses(self) -> list[str]:
        return [
            address
            for line in self.operator.lines
            if line["event"] == _LISTENING_EVENT
            for address in line["addresses"]
        ]
