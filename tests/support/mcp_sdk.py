"""The environment with the official SDK of the Model Context Protocol, which the tests' own environment lacks."""

import os
import subprocess
from functools import cache
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.locks import exclusive
from localcluster.paths import cache_folder

ROOT = Path(__file__).parents[2]
_ENVIRONMENT = ROOT / ".venv" / "mcp"


@cache
def sdk_python() -> Path:
    """Returns the interpreter of the environment, which is made unless it is up to date.

    Raises:
        LocalClusterError: it cannot be made, for example without a package registry.
    """
    # Of another make, whose tests these are: it would lend this one its job server.
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    with exclusive(cache_folder() / "mcp.lock", lambda _: None):
        command = ["make", "--no-print-directory", str((_ENVIRONMENT / ".synced").relative_to(ROOT))]
        made = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if made.returncode:
        raise LocalClusterError(f"the environment of the MCP SDK cannot be made:\n{made.stdout}{made.stderr}")
    return _ENVIRONMENT / "bin" / "python"
