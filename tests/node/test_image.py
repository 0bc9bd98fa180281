"""Reads the files of the operator's image."""

import json
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

#: Programs that an intruder looks for, and with which an image can be changed.
UNWANTED = {
    "apt",
    "apt-get",
    "ash",
    "bash",
    "busybox",
    "dash",
    "dpkg",
    "ensurepip",
    "perl",
    "pip",
    "pip3",
    "sh",
    "su",
    "uv",
}


@pytest.fixture(scope="module")
def archive(archives: list[Path]) -> Path:
    """The archive of the operator's image."""
    (found,) = (each for each in archives if each.name == "statefulroute.tar")
    return found


@pytest.fixture(scope="module")
def configuration(archive: Path) -> dict[str, Any]:
    """The configuration of the image."""
    with tarfile.open(archive) as image:
        (manifest,) = read_json(image, "manifest.json")
        return dict(read_json(image, manifest["Config"])["config"])


@pytest.fixture(scope="module")
def root(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked files of the image."""
    return unpack(archive, tmp_path_factory.mktemp("root"))


def unpack(archive: Path, folder: Path) -> Path:
    """Writes the files of an image into a folder, and returns it."""
    with tarfile.open(archive) as image:
        (manifest,) = read_json(image, "manifest.json")
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=image.extractfile(layer)) as files:
                files.extractall(folder, filter="fully_trusted")  # noqa: S202 - the archive is of this session
    return folder


def read_json(archive: tarfile.TarFile, name: str) -> Any:
    """Returns a document in an archive."""
    file = archive.extractfile(name)
    assert file is not None
    return json.load(file)


def files(root: Path) -> list[Path]:
    """Returns the regular files."""
    return [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]


def programs(root: Path) -> list[Path]:
    """Returns the programs and shared libraries."""
    return [path for path in files(root) if path.read_bytes()[:4] == b"\x7fELF"]


def test_image_has_no_shell_no_package_manager_and_no_program_but_python(root: Path) -> None:
    assert UNWANTED.isdisjoint(path.name for path in files(root))
    executable = [path.name for path in programs(root) if ".so" not in path.name]
    assert executable == ["python3.13"]
    commands = [path for path in files(root / "opt/statefulroute/bin") if path.stat().st_mode & 0o111]
    assert all(path.read_bytes().startswith(b"#!/opt/statefulroute/bin/python") for path in commands)


def test_no_program_gives_its_caller_other_rights(root: Path) -> None:
    raised = [path for path in files(root) if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)]
    assert raised == []


def test_user_is_a_number_other_than_root_and_has_a_name(root: Path, configuration: dict[str, Any]) -> None:
    assert configuration["User"] == "65532:65532"
    assert "nonroot:x:65532:65532:" in (root / "etc/passwd").read_text()


def test_every_program_finds_its_shared_libraries(root: Path) -> None:
    found = programs(root)
    (linker,) = (path for path in found if path.name.startswith("ld-"))
    assert len(found) > 30
    unresolved = {}
    for path in found:
        command = ["chroot", root, f"/{linker.relative_to(root)}", "--list", f"/{path.relative_to(root)}"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        if listed.returncode or "not found" in listed.stdout:
            unresolved[path.name] = listed.stdout + listed.stderr
    assert unresolved == {}


def test_python_trusts_the_certificates(root: Path) -> None:
    code = "import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 50)"
    command = ["chroot", root, "/opt/statefulroute/bin/python", "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


def test_nothing_of_the_variant_for_fips_is_there(root: Path) -> None:
    assert [*root.rglob("ossl-modules"), *root.rglob("sitecustomize.py"), *root.rglob("openssl.cnf")] == []


def test_scanners_find_the_packages_of_debian(root: Path) -> None:
    folder = root / "var/lib/dpkg/status.d"
    for package in ("base-files", "ca-certificates", "libc6", "libssl3t64", "libstdc++6", "zlib1g"):
        assert "\nVersion: " in (folder / package).read_text()
        assert (root / "usr/share/doc" / package / "copyright").stat().st_size
    (line,) = (each for each in (folder / "libc6.md5sums").read_text().splitlines() if each.endswith("/libc.so.6"))
    assert (root / line.split()[1]).exists()
    assert "ID=debian" in (root / "etc/os-release").read_text()


def test_list_of_contents_names_what_is_in_the_image(root: Path) -> None:
    listed = json.loads((root / "opt/statefulroute/sbom.cdx.json").read_text())["components"]
    versions = {(each["type"], each["name"].lower()): each.get("version") for each in listed}
    packages = [file for file in (root / "var/lib/dpkg/status.d").iterdir() if file.suffix != ".md5sums"]
    for file in packages:
        assert f"\nVersion: {versions['library', file.name]}\n" in file.read_text()
    (site_packages,) = root.glob("opt/statefulroute/lib/python3*/site-packages")
    installed = [folder.name.removesuffix(".dist-info") for folder in site_packages.glob("*.dist-info")]
    distributions = {tuple(each.split("-")) for each in installed if not each.startswith("statefulroute-")}
    assert len(distributions) > 30
    listed_names = {(name.replace("-", "_"), version) for (_, name), version in versions.items()}
    assert {(name.lower().replace("-", "_"), version) for name, version in distributions} <= listed_names
    vendored = json.loads((site_packages / "statefulroute/console/static/vendor/packages.json").read_text())
    assert {("library", each["package"]) for each in vendored} <= versions.keys()
    # Python is a package of Debian in the base image of the tests, and a program beside them in that of the releases.
    assert ("application", "python") in versions or any(file.name.startswith("libpython3") for file in packages)
    references = [each["bom-ref"] for each in listed]
    assert len(references) == len(set(references))
