"""Which hosts no name server can forge."""

import pytest

from statefulroute.monitoring.host_header import is_address


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8470", "127.0.0.1", "127.0.0.1:8470", "[::1]", "[::1]:9000", "10.0.0.7:8470"]
)
def test_hosts_that_dns_does_not_resolve(host: str) -> None:
    assert is_address([host])


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["evil.example"],
        ["localhost.evil.example"],
        ["127.0.0.1.evil.example:8470"],
        ["127.1"],
        ["0x7f000001"],
        ["::1"],
        ["[::1"],
        ["[127.0.0.1].evil"],
        ["localhost:"],
        ["localhost:8470:8470"],
        ["evil.example@localhost"],
        ["localhost/evil"],
        ["localhost", "localhost"],
        ["localhost\n"],
    ],
)
def test_other_hosts(hosts: list[str]) -> None:
    assert not is_address(hosts)
