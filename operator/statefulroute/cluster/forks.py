"""What a forked process does before anything else; on Windows, no process is forked."""

import os
from collections.abc import Callable


def call_in_forked_child(function: Callable[[], object]) -> None:
    """Calls a function in each process that is forked from this one, as soon as it exists.

    Args:
        function: the function; it must not wait for a lock that another thread of the parent may hold.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
