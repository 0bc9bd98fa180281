"""Imports kopf without the Kubernetes clients that it imports where they are installed.

kopf needs them only to recognise their objects and to log in by their means. They take 11 MiB and half a second.
"""

import sys

#: The clients that kopf imports.
_CLIENTS = ("kubernetes", "kubernetes_asyncio", "pykube")

_hidden = [name for name in _CLIENTS if name not in sys.modules]
for _name in _hidden:
    sys.modules[_name] = None  # type: ignore[assignment] # lets an import fail as if it was not installed
try:
    import kopf
finally:
    for _name in _hidden:
        del sys.modules[_name]

__all__ = ["kopf"]
