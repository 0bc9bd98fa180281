"""Recognizes requests of a web page that has changed what its own host name resolves to (DNS rebinding)."""

import re
from ipaddress import ip_address

#: A host with an optional port; an IPv6 address is in brackets.
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:]+)(?::[0-9]{1,5})?")


def is_address(hosts: object) -> bool:
    """Returns whether there is one Host header, and it is an IP address or `localhost`: no name that DNS resolves."""
    if not isinstance(hosts, list | tuple) or len(hosts) != 1:
        return False
    match = _HOST.fullmatch(hosts[0])
    if match is None:
        return False
    host = match[1].removeprefix("[").removesuffix("]")
    if host.lower() == "localhost":
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
