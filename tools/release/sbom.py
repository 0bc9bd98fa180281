"""Writes what the image and the kubectl plugin contain, in CycloneDX.

Of the image, cyclonedx-py has listed the Python packages; this program adds the rest to that list: Debian's packages,
Python, and the JavaScript of the console. The Dockerfile runs it with the Python of the image, so it imports the
standard library only:

    python3 sbom.py /root-filesystem

Of the plugin, `kubectlplugin.build` writes a list of its own beside the archive.
"""

import argparse
import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any
from urllib.parse import quote

Component = dict[str, Any]

#: The list in the image.
IMAGE_SBOM = Path("opt/statefulroute/sbom.cdx.json")

#: The description of the vendored JavaScript, below the folder of the package.
VENDORED = Path("console/static/vendor/packages.json")

_LIBRARY_SUFFIXES = (".so", ".dylib", ".dll")


def component(kind: str, purl_type: str, name: str, version: str, **qualifiers: str) -> Component:
    """Returns a component that is a package.

    Args:
        kind: The type of CycloneDX, such as `library`.
        purl_type: The type of its package URL, with the namespace, such as `deb/debian`.
        name: The name of the package.
        version: Its version.
        qualifiers: The qualifiers of the package URL.
    """
    purl = f"pkg:{purl_type}/{_encoded(name)}@{_encoded(version)}"
    if qualifiers:
        purl += "?" + "&".join(f"{key}={_encoded(value)}" for key, value in sorted(qualifiers.items()))
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _encoded(text: str) -> str:
    return quote(text, safe=":~/")


def python() -> Component:
    """Returns the Python that runs, whose standard library is where this program runs."""
    version = platform.python_version()
    found = component("application", "generic", "python", version)
    return {**found, "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"}


def vendored_javascript(package: Path) -> list[Component]:
    """Returns the libraries in the console of an installed or bundled package `statefulroute`."""
    entries = json.loads((package / VENDORED).read_text(encoding="utf-8"))
    return [
        component("library", "npm", name, version) | {"licenses": [{"license": {"id": licence}}]}
        for name, version, licence in sorted({(each["package"], each["version"], each["license"]) for each in entries})
    ]


def debian_packages(root: Path) -> list[Component]:
    """Returns Debian itself and its packages whose files are in a root file system."""
    system = _fields(root / "etc/os-release", "=")
    version = system.get("VERSION_ID") or system["VERSION_CODENAME"]  # Debian's next release has no number yet
    distribution = {"type": "operating-system", "bom-ref": "os", "name": system["ID"], "version": version}
    packages = []
    for file in sorted((root / "var/lib/dpkg/status.d").glob("*")):
        if file.suffix != ".md5sums":
            fields = _fields(file, ": ")
            qualifiers = {"arch": fields["Architecture"], "distro": f"{system['ID']}-{version}"}
            if "Source" in fields:
                # Advisories are about source packages; a version in brackets is that of the source.
                qualifiers["upstream"] = fields["Source"].replace(" (", "@").rstrip(")")
            packages.append(component("library", "deb/debian", fields["Package"], fields["Version"], **qualifiers))
    return [distribution, *packages]


def _fields(file: Path, separator: str) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(separator) for line in lines if separator in line and not line.startswith(" "))
    return {key: value.strip('"') for key, _, value in pairs}


def has_python_of_debian(components: Iterable[Component]) -> bool:
    """Returns whether Python is one of Debian's packages, and no program beside them."""
    return any(each["name"].startswith("libpython3") for each in components)


def image_sbom(sbom: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Returns the list of an image.

    Args:
        sbom: The list of its Python packages.
        root: Its root file system.
    """
    debian = debian_packages(root)
    (package,) = root.glob("opt/statefulroute/lib/python3*/site-packages/statefulroute")
    added = [*debian, *([] if has_python_of_debian(debian) else [python()]), *vendored_javascript(package)]
    return {**sbom, "components": [*sbom["components"], *added]}


def bundled_packages(distributions: Iterable[Distribution], folder: Path) -> list[Component]:
    """Returns the Python packages with files in a folder that PyInstaller has written.

    Args:
        distributions: The packages of the environment.
        folder: The folder with modules, which are compiled, and libraries.
    """
    found = {
        (distribution.name.lower().replace("_", "-"), distribution.version)
        for distribution in distributions
        if any(_is_bundled(folder, Path(file)) for file in distribution.files or ())
    }
    return [component("library", "pypi", name, version) for name, version in sorted(found)]


def _is_bundled(folder: Path, file: Path) -> bool:
    """Returns whether a file of a package is in the folder: a module, or a library. Metadata alone does not count."""
    if ".." in file.parts or file.parts[0].endswith(".dist-info"):
        return False
    return (folder / (file.with_suffix(".pyc") if file.suffix == ".py" else file)).is_file()


def shared_libraries(folder: Path) -> list[Component]:
    """Returns the shared libraries of the machine that built a bundle: those at the top of its folder, with digests."""
    return [
        {
            "type": "file",
            "bom-ref": f"file:{file.name}",
            "name": file.name,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}],
        }
        for file in sorted(folder.iterdir())
        if file.is_file() and any(suffix in file.suffixes for suffix in _LIBRARY_SUFFIXES)
    ]


def bundle_sbom(program: Component, components: Iterable[Component]) -> dict[str, Any]:
    """Returns the list of a program: what it contains, of which the program may be one."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": program},
        "components": [each for each in components if each["bom-ref"] != program["bom-ref"]],
    }


def write_sbom(file: Path, sbom: Mapping[str, Any]) -> None:
    """Writes a list."""
    file.write_text(json.dumps(sbom, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Completes the list in the root file system of the image."""
    parser = argparse.ArgumentParser(description="Adds to the list of Python packages what else the image contains.")
    parser.add_argument("root", type=Path, help="the root file system of the image")
    root = parser.parse_args().root
    file = root / IMAGE_SBOM
    write_sbom(file, image_sbom(json.loads(file.read_text(encoding="utf-8")), root))


if __name__ == "__main__":
    main()
