"""Where a process answers: HOST:PORT as people write it, and a sentence for what is none."""

import pytest

from statefulroute.monitoring.bind_address import BindAddress


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("localhost:0", "localhost", 0),
        ("[::]:8080", "::", 8080),
        (":65535", None, 65_535),
    ],
)
def test_an_address_is_read_and_written_in_the_same_form(text: str, host: str | None, port: int) -> None:
    address = BindAddress.parse(text)
    assert address == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["8080", "127.0.0.1", "here:", "here:http", "here:-1", "here:\N{FULLWIDTH DIGIT EIGHT}", "::1:8080", ""]
)
def test_what_is_no_address_is_answered_by_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not HOST:PORT; for example 0\.0\.0\.0:8080, .* or \[::\]:8080$"):
        BindAddress.parse(text)


def test_a_port_that_there_cannot_be_is_told() -> None:
    with pytest.raises(ValueError, match="there is no port 65536: it must be from 0 to 65535"):
        BindAddress.parse("here:65536")
