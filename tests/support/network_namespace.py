"""Runs programs in a network namespace of their own, with only the loopback addresses of one family or of both."""

import shutil
import subprocess
from enum import StrEnum

import pytest


class Families(StrEnum):
    """The address families of a network namespace."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"
    BOTH = "IPv4 and IPv6"

    @property
    def addresses(self) -> list[str]:
        """The loopback addresses of a namespace with these families."""
        return [address for family, address in _ADDRESSES.items() if self in {family, Families.BOTH}]


_ADDRESSES = {Families.IPV4: "127.0.0.1", Families.IPV6: "::1"}

_UP = "ip link set lo up"

#: What a shell runs in the new namespace before the program.
_SETUPS = {
    Families.IPV4: f"{_UP} && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6",
    Families.IPV6: f"{_UP} && ip address delete 127.0.0.1/8 dev lo",
    Families.BOTH: _UP,
}


def in_namespace(families: Families, command: list[str]) -> list[str]:
    """Returns the command that runs a command in a new network namespace.

    Skips the test if this user may create none.
    """
    prefix = ["unshare", "--map-root-user", "--net", "sh", "-c"]
    if missing := [name for name in ("unshare", "ip") if shutil.which(name) is None]:
        pytest.skip(f"{missing[0]} is not installed: the packages util-linux and iproute2 have unshare and ip")
    setup = _SETUPS[families]
    trial = subprocess.run([*prefix, setup], capture_output=True, text=True, check=False)
    if trial.returncode:
        pytest.skip(f"this user cannot create a network namespace: {trial.stderr.strip()}")
    return [*prefix, f'{setup} && exec "$@"', "sh", *command]
