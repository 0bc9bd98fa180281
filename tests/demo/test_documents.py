"""Tests that a real API server accepts or refuses every manifest in examples/ and the docs as documented."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.kubectl import Kubectl
from support.namespaces import fresh_namespace

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: The namespaces of the examples, which each test replaces with its own.
NAMESPACE = re.compile(r"namespace: (play|sandboxes)\b")

#: The comment with the message that refuses a manifest.
REFUSED = re.compile(r"^# Refused: (.+)$", re.MULTILINE)

#: A Markdown link to a file of the repository: the file, and the heading in it.
LINK = re.compile(r'\]\(([^)#:\s]*)(?:#([^):\s]*))?(?: "[^"]*")?\)')

HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Manifest:
    """A piece of YAML and its location."""

    location: str
    text: str

    def __str__(self) -> str:
        return self.location

    @property
    def refusal(self) -> str | None:
        """The message that refuses it; None if it is accepted."""
        found = REFUSED.search(self.text)
        return found[1] if found else None

    def objects(self, namespace: str) -> Iterator[dict[str, Any]]:
        """Returns its objects, in the given namespace."""
        for each in yaml.safe_load_all(NAMESPACE.sub(f"namespace: {namespace}", self.text)):
            if each["kind"] != "Namespace":
                yield each | {"metadata": {"namespace": namespace, **each["metadata"]}}


EXAMPLES = [
    Manifest(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "examples").rglob("*.yaml"))
    if "node_modules" not in path.parts  # where npm was used in the example
]
BLOCKS = [
    Manifest(f"{path.relative_to(ROOT)}:{number}", block)
    for path in DOCUMENTS
    for number, block in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")), 1)
    if "apiVersion: " in block  # others are values of the chart
]
MANIFESTS = EXAMPLES + BLOCKS


@pytest.fixture(scope="module")
def namespace(installed: Kubectl) -> Iterator[str]:
    """The name of an empty namespace: all manifests are dry runs."""
    with fresh_namespace(installed) as name:
        yield name


@pytest.mark.parametrize("manifest", [each for each in MANIFESTS if each.refusal is None], ids=str)
def test_accepts_manifest(manifest: Manifest, here: Kubectl, namespace: str) -> None:
    for item in manifest.objects(namespace):
        here.dry_run(item).expect_success()


@pytest.mark.parametrize("manifest", [each for each in MANIFESTS if each.refusal is not None], ids=str)
def test_refuses_manifest_with_the_documented_message(manifest: Manifest, here: Kubectl, namespace: str) -> None:
    for item in manifest.objects(namespace):
        tried = here.dry_run(item)
        assert tried.code != 0
        assert tried.stderr.strip().endswith(str(manifest.refusal))


def test_readme_shows_both_kinds() -> None:
    shown = [item["kind"] for each in BLOCKS if "README" in each.location for item in each.objects("play")]
    assert {"PodLink", "StatefulRoute"} <= set(shown)


def test_refused_examples_are_in_a_separate_folder() -> None:
    assert {each.location for each in EXAMPLES if each.refusal} == {
        each.location for each in EXAMPLES if each.location.startswith("examples/refused/")
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_is_valid(document: Path) -> None:
    assert [file for file, _ in _links(document) if not (document.parent / file).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_heading_is_valid(document: Path) -> None:
    links = [(document.parent / file if file else document, heading) for file, heading in _links(document) if heading]
    assert [(file.name, heading) for file, heading in links if heading not in _headings(file)] == []


def _links(document: Path) -> list[tuple[str, str]]:
    """Returns the files and headings that a document links to; an empty file name is the document itself."""
    return LINK.findall(document.read_text(encoding="utf-8"))


def _headings(document: Path) -> set[str]:
    """Returns the anchors of a document's headings, as GitHub and MkDocs name them."""
    headings = HEADING.findall(document.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
