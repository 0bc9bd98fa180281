"""What Python runs at its start in the image's variant `fips`, where it is named `sitecustomize`.

Python's own implementations of hash algorithms are not validated, and `hashlib` falls back to them where OpenSSL
refuses: they are taken away. If the validated provider does not work, the process ends instead of going on without it.

BLAKE2 stays, which `hashlib` always takes from Python: it names states that were seen, and protects nothing.
"""

import os
import sys
from types import ModuleType

#: The modules with Python's own implementations, up to Python 3.14. What imports them has another way.
OWN_MODULES = ("_hmac", "_sha1", "_sha2", "_sha256", "_sha3", "_sha512")

#: The code of a process that ends, and its message.
FAILURE = 78
MESSAGE = (
    "The cryptography of this image is validated for FIPS, and its OpenSSL cannot use it: fips.so or the configuration "
    "of OpenSSL was changed, or OPENSSL_CONF or OPENSSL_MODULES is set. Nothing runs without it."
)


def take_away_own_algorithms() -> None:
    """Makes the modules look absent; that of MD5 refuses, because `hashlib` wants one, and logs an error without it."""
    sys.modules.update(dict.fromkeys(OWN_MODULES))  # type: ignore[arg-type] # how imports are blocked
    own = ModuleType("_md5")
    own.md5 = refuse  # type: ignore[attr-defined]
    sys.modules["_md5"] = own


def refuse(*_arguments: object, **_options: object) -> None:
    """Refuses MD5.

    Raises:
        ValueError: Always.
    """
    raise ValueError("MD5 is not approved for FIPS, and this image has no implementation of it")


def provider_works() -> bool:
    """Returns whether OpenSSL takes algorithms from a provider for FIPS alone, and has one."""
    try:
        import _hashlib  # noqa: PLC0415 - fails without OpenSSL's library

        _hashlib.openssl_sha256(b"")
    except Exception:  # noqa: BLE001 - Python would report it, and go on
        return False
    return bool(_hashlib.get_fips_mode())


def start() -> None:
    """Takes away Python's own algorithms, and ends the process if the provider does not work."""
    take_away_own_algorithms()
    if not provider_works():
        os.write(2, f"{MESSAGE}\n".encode())
        os._exit(FAILURE)
    # It decides now where each algorithm comes from. The package `cryptography` loads OpenSSL's other algorithms later.
    import hashlib  # noqa: F401, PLC0415


if __name__ == "sitecustomize":
    start()
