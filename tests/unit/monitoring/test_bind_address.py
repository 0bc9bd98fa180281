"""BindAddress parses HOST:PORT and refuses other text with a helpful message."""

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
def test_an_address_is_formatted_as_it_is_parsed(text: str, host: str | None, port: int) -> None:
    address = BindAddress.parse(text)
    assert address == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["8080", "127.0.0.1", "here:", "here:http", "here:-1", "here:\N{FULLWIDTH DIGIT EIGHT}", "::1:8080", ""]
)
def test_text_that_is_not_an_address_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not HOST:PORT; for example :8080, .* or \[::1\]:8080$"):
        BindAddress.parse(text)


def test_a_port_above_the_maximum_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no port 65536: it must be from 0 to 65535"):
        BindAddress.parse("here:65536")
