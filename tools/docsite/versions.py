"""Builds the pages of a version, and commits them beside those of the others: `python -m docsite.versions VERSION`.

VERSION is `main` or that of a release. The branch gh-pages has a folder for `main` and for each minor release, and
`latest`, which is the newest release, or `main` before there is one. Nothing is pushed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: The branch that GitHub Pages publishes.
BRANCH = "gh-pages"

#: The version that is no release.
MAIN = "main"

#: The alias of the version that readers get by default.
LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Deployment:
    """How the pages of a version are published.

    Attributes:
        folder: The folder of the pages, which is the name of the version in addresses.
        title: The name of the version in the list of versions.
        is_latest: Whether readers get this version by default.
        source_ref: The tag or branch that the pages link to for files of the repository; empty: as mkdocs.yml says.
    """

    folder: str
    title: str
    is_latest: bool
    source_ref: str


def plan(version: str, published: Mapping[str, str]) -> Deployment | None:
    """Returns how to publish a version; None if a later patch version of it is published.

    Args:
        version: `main`, or the version of a release such as `1.2.3`.
        published: The title of each published folder: the version of its pages.
    """
    releases = [folder for folder in published if folder != MAIN]
    if version == MAIN:
        return Deployment(MAIN, MAIN, not releases, "")
    minor = ".".join(version.split(".")[:2])
    if minor in published and _order(published[minor]) > _order(version):
        return None
    is_latest = _order(minor) >= max(map(_order, releases), default=())
    return Deployment(minor, version, is_latest, f"v{version}")


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def deploy(version: str) -> None:
    """Builds the pages of a version, and commits them to the local branch; of an older patch version, does nothing.

    Raises:
        subprocess.CalledProcessError: MkDocs or git fails.
    """
    published = json.loads(_mike("list", "--json", output=subprocess.PIPE) or "[]")
    deployment = plan(version, {each["version"]: each["title"] for each in published})
    if deployment is None:
        sys.stdout.write(f"A later patch version than {version} is published: its pages stay.\n")
        return
    aliases = [LATEST] if deployment.is_latest else []
    with tempfile.TemporaryDirectory() as site:
        environment = {"SITE_DIR": site}
        if deployment.source_ref:
            environment["SOURCE_REF"] = deployment.source_ref
        options = ["--update-aliases", f"--title={deployment.title}"]
        _mike("deploy", *options, deployment.folder, *aliases, environment=environment)
        if deployment.is_latest:
            _commit_root_page("404.html", (Path(site) / "404.html").read_bytes())
    _mike("set-default", LATEST)


def _commit_root_page(name: str, content: bytes) -> None:
    """Commits a page that belongs to no version: GitHub shows the 404.html of the root for every missing page."""
    from mike.git_utils import Commit, FileInfo, GitEmptyCommit  # noqa: PLC0415 - only the site's environment has it

    try:
        with Commit(BRANCH, f"Update {name}") as commit:
            commit.add_file(FileInfo(name, content))
    except GitEmptyCommit:
        pass


def _mike(*arguments: str, environment: Mapping[str, str] | None = None, output: int | None = None) -> str:
    """Runs mike, which finds MkDocs beside itself; returns its output if it is captured."""
    programs = Path(sys.executable).parent
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    command = [str(programs / "mike"), "--quiet", *arguments[:1], f"--branch={BRANCH}", *arguments[1:]]
    completed = subprocess.run(
        command, check=True, env={**os.environ, **(environment or {}), "PATH": path}, stdout=output, text=True
    )
    return completed.stdout or ""


def main() -> None:
    """Publishes a version to the local branch."""
    parser = argparse.ArgumentParser(prog="python -m docsite.versions", description=__doc__)
    parser.add_argument("version", help="`main`, or the version of a release")
    try:
        deploy(parser.parse_args().version)
    except subprocess.CalledProcessError as error:
        sys.exit(f"docsite: {error}")


if __name__ == "__main__":
    main()
