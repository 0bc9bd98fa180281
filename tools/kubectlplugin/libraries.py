"""Where processes that the plugin starts look for libraries, such as exec plugins and browsers."""

import sys
from collections.abc import MutableMapping


def restore_library_search(environment: MutableMapping[str, str]) -> None:
    """Lets processes that this one starts use the libraries of the system.

    PyInstaller makes this process, and those that it starts, look in the plugin's folder first. This process has
    already been told where to look, or asks for its libraries by their paths.

    Args:
        environment: the environment variables of this process.
    """
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415 - only Windows needs it

        ctypes.windll.kernel32.SetDllDirectoryW(None)
    elif (before := environment.pop("LD_LIBRARY_PATH_ORIG", None)) is not None:
        environment["LD_LIBRARY_PATH"] = before
    else:
        environment.pop("LD_LIBRARY_PATH", None)
