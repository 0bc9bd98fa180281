"""The proxy of the environment; `tests/cli` compares the same cases with kubectl."""

import pytest

from statefulroute.cluster.environment_proxy import environment_proxy
from support.proxy_cases import PROXY_CASES

PROXY = "http://proxy.invalid:3128"


@pytest.mark.parametrize(("server", "exceptions", "is_used"), PROXY_CASES)
def test_no_proxy_excludes_hosts_domains_addresses_and_networks(server: str, exceptions: str, is_used: bool) -> None:
    environment = {"HTTPS_PROXY": PROXY, "NO_PROXY": exceptions}
    assert environment_proxy(server, environment) == (PROXY if is_used else None)


@pytest.mark.parametrize(
    ("environment", "proxies"),
    [
        ({}, (None, None)),
        ({"HTTPS_PROXY": PROXY}, (PROXY, None)),
        ({"https_proxy": PROXY}, (PROXY, None)),
        ({"HTTPS_PROXY": "", "https_proxy": PROXY}, (PROXY, None)),
        ({"HTTP_PROXY": PROXY}, (None, PROXY)),
        ({"HTTPS_PROXY": "proxy.invalid:3128"}, (PROXY, None)),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "*"}, (None, None)),
    ],
    ids=str,
)
def test_variables_are_read_in_upper_and_lower_case(
    environment: dict[str, str], proxies: tuple[str | None, str | None]
) -> None:
    assert tuple(environment_proxy(f"{scheme}://10.1.2.3", environment) for scheme in ("https", "http")) == proxies
