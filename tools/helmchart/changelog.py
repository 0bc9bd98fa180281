"""Reads CHANGELOG.md: the changes of a version, for its release on GitHub and for Artifact Hub."""

import re

from localcluster.errors import LocalClusterError

_HEADING = re.compile(r"^## (\S+) \((.*)\)$", re.MULTILINE)

_SECTION = re.compile(r"^### (?P<kind>\w+)\n\n(?P<entries>.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)

#: The start of a link to a file of the repository.
_RELATIVE_LINK = re.compile(r"\]\((?![a-z]+:|#)")


def notes(changelog: str, version: str, source: str) -> str:
    """Returns the changes of a version, whose links lead to the files of its tag from any page.

    Args:
        changelog: The text of CHANGELOG.md, whose links are relative to the repository's root.
        version: The version.
        source: The address of the repository.

    Raises:
        LocalClusterError: the changelog has no section for it.
    """
    found = _heading(changelog, version)
    following = _HEADING.search(changelog, found.end())
    text = changelog[found.end() : following.start() if following else None].strip() + "\n"
    return _RELATIVE_LINK.sub(f"]({source}/blob/v{version}/", text)


def release_date(changelog: str, version: str) -> str:
    """Returns the date of a version, as YYYY-MM-DD. Raises the same error as `notes`."""
    return _heading(changelog, version)[2]


def changes(notes_of_release: str) -> list[dict[str, str]]:
    """Returns the notes of a release as Artifact Hub takes them: a kind and a description for each entry."""
    return [
        {"kind": section["kind"].lower(), "description": " ".join(entry.split())}
        for section in _SECTION.finditer(notes_of_release)
        for entry in re.split(r"^- ", section["entries"], flags=re.MULTILINE)[1:]
    ]


def _heading(changelog: str, version: str) -> re.Match[str]:
    found = next((heading for heading in _HEADING.finditer(changelog) if heading[1] == version), None)
    if found is None:
        raise LocalClusterError(f"CHANGELOG.md has no section for {version}: run `.venv/bin/towncrier build`.")
    return found
