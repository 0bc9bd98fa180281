"""Builds the chats of `examples/go` and `examples/typescript`; run as a program, it generates the types that they use.

What is needed beside the machine's Node.js is downloaded once, and kept in the user's cache folder.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.programs import Recipe, ensure_built
from localcluster.progress import PlainProgress
from localcluster.toolchain import find_go
from support.npm import node_modules, run

ROOT = Path(__file__).parents[2]
DOCUMENTS = ROOT / "docs" / "openapi"
GO = ROOT / "examples" / "go"
TYPESCRIPT = ROOT / "examples" / "typescript"

#: The oldest version of Node.js that the example supports, as its package.json says.
OLDEST_NODE = 20

APIS = ("sidecar", "resolver")


def go_types(api: str) -> Path:
    """Returns the generated file of an API in the example."""
    return GO / api / "types.gen.go"


def typescript_types(api: str) -> Path:
    """Returns the generated file of an API in the example."""
    return TYPESCRIPT / "src" / "api" / f"{api}.ts"


@dataclass(frozen=True, slots=True)
class ChatPrograms:
    """The programs of a chat.

    Attributes:
        language: the language that they are written in.
        server: the command of the server.
        client: the command of the client.
    """

    language: str
    server: Sequence[str | Path]
    client: Sequence[str | Path]


def build_go(folder: Path) -> ChatPrograms:
    """Builds the chat in Go. Go caches what has not changed.

    Args:
        folder: the folder of the programs.

    Raises:
        LocalClusterError: there is no Go, and none can be installed.
    """
    go = find_go(PlainProgress())
    run([go.program, "build", "-trimpath", "-o", f"{folder}/", "./server", "./client"], GO, go.environment)
    return ChatPrograms("Go", (folder / "server",), (folder / "client",))


def build_typescript(folder: Path) -> ChatPrograms:
    """Compiles the chat in TypeScript.

    Args:
        folder: the folder of the programs.

    Raises:
        LocalClusterError: there is no Node.js, or npm cannot install the compiler.
    """
    node = _node()
    _compile_typescript(folder)
    return ChatPrograms("TypeScript", (node, folder / "dist/server.js"), (node, folder / "dist/client.js"))


def run_go_tests() -> None:
    """Runs the tests of the example in Go.

    Raises:
        LocalClusterError: there is no Go, or a test fails; the message has its output.
    """
    go = find_go(PlainProgress())
    run([go.program, "vet", "./..."], GO, go.environment)
    run([go.program, "test", "./..."], GO, go.environment)


def run_typescript_tests(folder: Path) -> None:
    """Runs the tests of the example in TypeScript.

    Args:
        folder: the folder of the compiled files.

    Raises:
        LocalClusterError: there is no Node.js, or a test fails; the message has its output.
    """
    _compile_typescript(folder)
    environment = {**os.environ, "SLOT_VECTORS": str(ROOT / "docs/slot-vectors.json")}
    run([_node(), "--test", "dist/slot.test.js"], folder, environment)


def _compile_typescript(folder: Path) -> None:
    modules = node_modules(TYPESCRIPT)
    shutil.copytree(TYPESCRIPT / "src", folder / "src")
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(TYPESCRIPT / name, folder)
    (folder / "node_modules").symlink_to(modules)
    run([_node(), modules / "typescript/bin/tsc"], folder)


def generate_go_types(api: str, output: Path) -> None:
    """Generates the types of an API for Go.

    Args:
        api: the name of the API and of the package.
        output: the generated file.

    Raises:
        LocalClusterError: the generator cannot be built.
    """
    package = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"
    recipe = Recipe("oapi-codegen", ROOT / "tools/oapi-codegen", package, "-s -w")
    generator = ensure_built(recipe, find_go(PlainProgress()), PlainProgress())
    run([generator, "-config", f"{api}/oapi-codegen.yml", "-o", output, DOCUMENTS / f"{api}.json"], GO)


def generate_typescript_types(api: str, output: Path) -> None:
    """Generates the types of an API for TypeScript.

    Raises:
        LocalClusterError: there is no Node.js, or npm cannot install the generator.
    """
    generator = node_modules(TYPESCRIPT) / "openapi-typescript/bin/cli.js"
    options = ["--default-non-nullable=false", "--output", output]
    run([_node(), generator, DOCUMENTS / f"{api}.json", *options], TYPESCRIPT)


def _node() -> str:
    """Returns the machine's Node.js."""
    node = shutil.which("node")
    if node is None:
        raise LocalClusterError("there is no Node.js on PATH")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        raise LocalClusterError(f"Node.js {version} is older than {OLDEST_NODE}")
    return node


if __name__ == "__main__":
    for each in APIS:
        generate_go_types(each, go_types(each))
        generate_typescript_types(each, typescript_types(each))
