"""Every manifest in examples/ and in a document is judged by a real API server as the document says."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.kubectl import Kubectl

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: The namespace of the examples, in whose place each test has its own.
NAMESPACE = re.compile(r"namespace: play\b")

#: How a manifest says that it is refused, and with which words.
REFUSED = re.compile(r"^# Refused: (.+)$", re.MULTILINE)

#: A link in Markdown to a file of ours: the file, and the heading in it.
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^):]*))?\)")

HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Manifest:
    """A piece of YAML and where it stands."""

    location: str
    text: str

    def __str__(self) -> str:
        return self.location

    @property
    def refusal(self) -> str | None:
        """The words with which it is refused; None when it is accepted."""
        found = REFUSED.search(self.text)
        return found[1] if found else None

    def objects(self, namespace: str) -> Iterator[dict[str, Any]]:
        """Its objects, in this namespace."""
        for each in yaml.safe_load_all(NAMESPACE.sub(f"namespace: {namespace}", self.text)):
            if each["kind"] != "Namespace":
                yield each | {"metadata": {"namespace": namespace, **each["metadata"]}}


EXAMPLES = [
    Manifest(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "examples").rglob("*.yaml"))
]
BLOCKS = [
    Manifest(f"{path.relative_to(ROOT)}:{number}", block)
    for path in DOCUMENTS
    for number, block in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")), 1)
]
MANIFESTS = EXAMPLES + BLOCKS


@pytest.mark.parametrize("manifest", [each for each in MANIFESTS if each.refusal is None], ids=str)
def test_a_manifest_is_accepted(manifest: Manifest, here: Kubectl, namespace: str) -> None:
    for item in manifest.objects(namespace):
        here.dry_run(item).expect_success()


@pytest.mark.parametrize("manifest", [each for each in MANIFESTS if each.refusal is not None], ids=str)
def test_a_manifest_is_refused_with_the_words_that_it_says(manifest: Manifest, here: Kubectl, namespace: str) -> None:
    for item in manifest.objects(namespace):
        tried = here.dry_run(item)
        assert tried.code != 0
        assert tried.stderr.strip().endswith(str(manifest.refusal))


def test_the_readme_shows_both_kinds() -> None:
    shown = [item["kind"] for each in BLOCKS if "README" in each.location for item in each.objects("play")]
    assert {"PodLink", "StatefulRoute"} <= set(shown)


def test_what_is_refused_lies_in_a_folder_of_its_own() -> None:
    assert {each.location for each in EXAMPLES if each.refusal} == {
        each.location for each in EXAMPLES if each.location.startswith("examples/refused/")
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_finds_it(document: Path) -> None:
    assert [file for file, _ in _links(document) if not (document.parent / file).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_heading_finds_it(document: Path) -> None:
    links = [(document.parent / file if file else document, heading) for file, heading in _links(document) if heading]
    assert [(file.name, heading) for file, heading in links if heading not in _headings(file)] == []


def _links(document: Path) -> list[tuple[str, str]]:
    """The files and headings that a document links to; no file is the document itself."""
    return LINK.findall(document.read_text(encoding="utf-8"))


def _headings(document: Path) -> set[str]:
    """The headings of a document, as GitHub and MkDocs name them in an address."""
    headings = HEADING.findall(document.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
