"""Renovate updates all that is pinned: it can run the command of each lock file, and knows each program in Go."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = sorted(file.stem for file in (ROOT / "requirements").glob("*.txt"))

#: The options of `uv pip compile` that Renovate accepts, of those that are used.
KNOWN_OPTIONS = {
    "--all-extras",
    "--constraint",
    "--extra",
    "--generate-hashes",
    "--group",
    "--output-file",
    "--python-version",
    "--universal",
}


@pytest.fixture(scope="module")
def renovate() -> dict[str, Any]:
    """The configuration of Renovate."""
    loaded: dict[str, Any] = json.loads((ROOT / ".github/renovate.json").read_text(encoding="utf-8"))
    return loaded


def matches(renovate: dict[str, Any], manager: str, path: str) -> bool:
    """Returns whether a manager updates a file."""
    return any(re.search(pattern.strip("/"), path) for pattern in renovate[manager]["managerFilePatterns"])


def commands() -> dict[str, list[str]]:
    """Returns the arguments of the commands of `make lock`, by the names of the files, as uv repeats them."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (common,) = re.findall(r"^LOCK := \$\(UV\) (.+)$", makefile, re.MULTILINE)
    lines = re.findall(r"^\t@\$\(LOCK\) (.+--output-file=requirements/([\w-]+)\.txt.*)$", makefile, re.MULTILINE)
    omitted = {"--quiet", "--upgrade"}
    return {name: [each for each in f"{common} {line}".split() if each not in omitted] for line, name in lines}


@pytest.mark.parametrize("name", LOCKS)
def test_each_lock_file_is_updated_by_one_manager(renovate: dict[str, Any], name: str) -> None:
    path = f"requirements/{name}.txt"
    managers = [each for each in ("pip-compile", "pip_requirements") if matches(renovate, each, path)]
    # The lowest versions change with the bounds in pyproject.toml.
    assert managers == (
        [] if name == "lowest" else ["pip_requirements" if "--no-deps" in commands()[name] else "pip-compile"]
    )
    assert set(managers) <= set(renovate["enabledManagers"])


@pytest.mark.parametrize("name", LOCKS)
def test_head_of_a_lock_file_is_a_command_that_renovate_runs(renovate: dict[str, Any], name: str) -> None:
    head = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").splitlines()[1]
    if "--no-deps" in commands()[name]:
        assert head == "#    make lock"
        return
    arguments = commands()[name]
    assert head == f"#    uv {' '.join(arguments)}"
    options = [each for each in arguments if each.startswith("-")]
    known = (
        KNOWN_OPTIONS
        if matches(renovate, "pip-compile", f"requirements/{name}.txt")
        else {*KNOWN_OPTIONS, "--resolution"}
    )
    assert {each.partition("=")[0] for each in options} <= known
    sources = [each for each in arguments[2:] if not each.startswith("-")]
    assert sources
    assert all((ROOT / each).is_file() for each in sources)


def test_each_program_in_go_is_updated(renovate: dict[str, Any]) -> None:
    (tools,) = [rule for rule in renovate["packageRules"] if rule.get("matchDepTypes") == ["indirect"]]
    modules = tuple(f"{each}/" for each in tools["matchPackageNames"])
    files = [file for file in ROOT.glob("tools/**/go.mod") if "node_modules" not in file.parts]
    programs = [f"{each}/" for file in files for each in re.findall(r"^tool (\S+)$", file.read_text(), re.MULTILINE)]
    assert programs
    assert [each for each in programs if not each.startswith(modules)] == []


def test_what_is_not_updated_exists(renovate: dict[str, Any]) -> None:
    disabled = [rule for rule in renovate["packageRules"] if rule.get("enabled") is False]
    files = [file for rule in disabled for file in rule.get("matchFileNames", ())]
    assert {"tools/controlplane/go.mod", "tools/node/go.mod"} == set(files)
    assert all((ROOT / file).is_file() for file in files)
    # The examples have packages, too, which Renovate's recommended configuration leaves out.
    assert renovate["ignorePaths"] == ["**/node_modules/**"]
