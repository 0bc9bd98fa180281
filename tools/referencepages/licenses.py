"""The page of the licenses of third parties, from the metadata of the packages of the image."""

import json
import re
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

from referencepages.markdown import head, table

#: A locked package of the image; those for other systems have a marker.
_PACKAGE = re.compile(r"^([\w.-]+)==[^\s;]+(?: ; (.*))? \\$", re.MULTILINE)

_OTHER_SYSTEMS = "sys_platform == 'win32'"

#: The SPDX names of what packages call their licenses.
_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "ISC License": "ISC",
    "MIT License": "MIT",
}

#: What may be in the image: licenses that only want their text beside it, and MPL 2.0, which covers its own files.
ACCEPTED = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0"}

_INTRODUCTION = """\
StatefulRoute is licensed under the [Apache License 2.0](../../LICENSE). These are the packages of others in the image
and in the Python package, with the SPDX names of their licenses. Their versions are in
[the lock file](../../requirements/image.txt).

The image contains the texts: those of the Python packages in their `.dist-info` folders below `/opt/statefulroute`,
those of the packages of Debian below `/usr/share/doc`. The Python package has those of the JavaScript libraries, in
`statefulroute/console/static/vendor/licenses`.
"""


def licenses_page(root: Path) -> str:
    """Returns the page, in Markdown.

    Args:
        root: The root of the repository.

    Raises:
        ValueError: A package has no license, or one that may not be in the image.
    """
    return "\n".join([head("Third-party licenses", "the packages of the image"), _INTRODUCTION, *_sections(root)])


def _sections(root: Path) -> Iterator[str]:
    yield "## Python packages in the image\n"
    locked = _PACKAGE.findall((root / "requirements/image.txt").read_text(encoding="utf-8"))
    names = [name for name, marker in locked if marker != _OTHER_SYSTEMS]
    yield from table(("package", "license"), [(f"`{name}`", license_of_package(name)) for name in names])
    yield "## JavaScript libraries of the console\n"
    vendored = root / "operator/statefulroute/console/static/vendor/packages.json"
    libraries = {each["package"]: each["license"] for each in json.loads(vendored.read_text(encoding="utf-8"))}
    yield from table(("package", "license"), [(f"`{name}`", accepted(name, text)) for name, text in libraries.items()])


def license_of_package(name: str) -> str:
    """Returns the license of an installed package as an SPDX expression. Raises the same error as `licenses_page`."""
    fields = metadata(name)
    classifiers = [each for each in fields.get_all("Classifier") or [] if each.startswith("License :: ")]
    (found, *_) = [*(fields.get_all("License-Expression") or []), *(fields.get_all("License") or []), ""]
    found = found.partition("\n")[0]
    if not found and classifiers:
        found = classifiers[0].rpartition(" :: ")[2]
    return accepted(name, _SPDX.get(found, found))


def accepted(name: str, expression: str) -> str:
    """Returns the license of a package if it may be in the image. Raises the same error as `licenses_page`."""
    unknown = {part for part in re.split(r" (?:AND|OR) ", expression) if part not in ACCEPTED}
    if unknown:
        raise ValueError(f"{name} has the license {expression!r}: add it to ACCEPTED if it may be in the image")
    return expression
