"""Selects the proxy for an API server from the environment, by the rules of Go and therefore of kubectl."""

import ipaddress
from collections.abc import Mapping

from yarl import URL

#: A port of a server, or None for every port.
_Port = int | None

_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def environment_proxy(server: str, environment: Mapping[str, str]) -> str | None:
    """Returns the URL of the proxy for a server; None if requests are sent directly.

    Reads HTTPS_PROXY, HTTP_PROXY and NO_PROXY, or their names in lower case. `localhost` and loopback addresses never
    use a proxy.

    Args:
        server: the URL of the server.
        environment: the environment variables.
    """
    url = URL(server)
    proxy = _variable(environment, f"{url.scheme}_proxy")
    if not proxy or url.host is None or not _uses_proxy(url.host, url.port, _variable(environment, "no_proxy")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name.upper()) or environment.get(name, "")


def _uses_proxy(host: str, port: _Port, exceptions: str) -> bool:
    host, address = host.lower(), _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return False
    return not any(_matches(entry.strip().lower(), host, address, port) for entry in exceptions.split(","))


def _matches(entry: str, host: str, address: _IPAddress | None, port: _Port) -> bool:
    """Returns whether an entry of NO_PROXY is for a host.

    An entry is `*`, a network, an address or a domain; the last two may have a port. A domain is for its subdomains,
    too, and one that starts with a dot only for these.
    """
    if entry == "*":
        return True
    if (network := _network(entry)) is not None:
        return address is not None and address in network
    name, entry_port = _split_port(entry)
    if not name or entry_port not in {None, port}:
        return False
    if (entry_address := _address(name)) is not None:
        return address == entry_address
    domain = name.removeprefix("*")
    return host.endswith(domain if domain.startswith(".") else f".{domain}") or host == domain


def _split_port(entry: str) -> tuple[str, _Port]:
    """Splits `host:port`; an address of IPv6 is in brackets if there is a port."""
    name, colon, port = entry.rpartition(":")
    if not colon or _address(entry) is not None or not port.isdigit():
        return entry.strip("[]"), None
    return name.strip("[]"), int(port)


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False) if "/" in entry else None
    except ValueError:
        return None


def _address(host: str) -> _IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
