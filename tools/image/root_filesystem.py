"""Makes the root file system of the image: Python, the installed packages, and only the files that these need.

The build stage of the Dockerfile runs it with the Python of its base image, which is based on Debian:

    python3 root_filesystem.py --environment /opt/statefulroute --destination /root-filesystem

Shared libraries are those that the dynamic linker finds for the copied programs and modules. The metadata of Debian's
packages with copied files is in `/var/lib/dpkg/status.d`, where scanners for vulnerabilities look for it in images
without a package manager.
"""

import argparse
import compileall
import os
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from py_compile import PycInvalidationMode

#: The user of the image, who has the number that distroless images use.
USER = "nonroot"
USER_ID = 65532

#: What neither the operator nor its packages import, by patterns of names in the standard library's folder.
OMITTED_MODULES = (
    "__phello__",
    "config-*",
    "curses",
    "dbm",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "sitecustomize.py",
    "sqlite3",
    "test",
    "tkinter",
    "turtle.py",
    "turtledemo",
)
#: The same for the folder of its extension modules, without the first parts of their suffixes.
OMITTED_EXTENSIONS = (
    "_ctypes_test.*",
    "_curses*",
    "_dbm.*",
    "_gdbm.*",
    "_sqlite3.*",
    "_test*",
    "_tkinter.*",
    "readline.*",
    "xx*",
)

FILES = {
    "etc/passwd": (
        f"root:x:0:0:root:/root:/sbin/nologin\n{USER}:x:{USER_ID}:{USER_ID}:{USER}:/home/{USER}:/sbin/nologin\n"
    ),
    "etc/group": f"root:x:0:\n{USER}:x:{USER_ID}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class RootFilesystemError(Exception):
    """The base image lacks something."""


class Tree:
    """A folder that becomes the root of a file system.

    Args:
        destination: the folder; it does not have to exist.
        source: the root that files come from.
    """

    def __init__(self, destination: Path, source: Path = Path("/")) -> None:
        self.destination = destination
        self._source = source

    def copy(self, path: Path) -> None:
        """Copies a file or folder, and what symbolic links lead to. Links in its path, such as `/lib`, are resolved."""
        path = canonical(path)
        copied = self.at(path)
        if os.path.lexists(copied):
            return
        copied.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            copied.symlink_to(path.readlink())
            self.copy(path.parent / path.readlink())
        elif path.is_dir():
            for each in path.iterdir():
                self.copy(each)
        else:
            shutil.copy2(path, copied)

    def write(self, path: str, content: str) -> None:
        """Writes a text file."""
        file = self.destination / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")

    def at(self, path: Path) -> Path:
        """Returns the place of a file of the source in this tree."""
        return self.destination / path.relative_to(self._source)

    def files(self) -> Iterator[Path]:
        """Yields the paths that the regular files will have."""
        for folder, _, names in os.walk(self.destination):
            for name in names:
                file = Path(folder, name)
                if not file.is_symlink():
                    yield self._source / file.relative_to(self.destination)


def canonical(path: Path) -> Path:
    """Returns the path with its folder, but not the file itself, resolved."""
    return path.parent.resolve() / path.name


def copy_python(tree: Tree, environment: Path) -> None:
    """Copies a virtual environment, its interpreter and the standard library, which is compiled."""
    tree.copy(environment)
    library = Path(sysconfig.get_path("stdlib")).resolve()
    for path in wanted_modules(library):
        tree.copy(path)
    compiled = compileall.compile_dir(
        tree.at(library),
        quiet=1,
        workers=0,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        stripdir=str(tree.destination),
        prependdir="/",
    )
    if not compiled:
        raise RootFilesystemError("the standard library could not be compiled: see above")


def wanted_modules(library: Path) -> Iterator[Path]:
    """Yields the files of the standard library that the image has."""
    extensions = library / "lib-dynload"
    for folder, names, files in os.walk(library):
        here = Path(folder)
        omitted = {library: OMITTED_MODULES, extensions: OMITTED_EXTENSIONS}.get(here, ())
        names[:] = [each for each in names if each != "__pycache__" and not matches(each, omitted)]
        yield from (here / each for each in files if not matches(each, omitted))


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Returns whether a name matches one of the patterns."""
    return any(fnmatch(name, each) for each in patterns)


def copy_shared_libraries(tree: Tree) -> None:
    """Copies the shared libraries and the dynamic linker that the programs and modules of the tree need.

    Raises:
        RootFilesystemError: The base image lacks one.
    """
    for link in Path("/").glob("lib*"):
        if link.is_symlink():
            tree.at(link).symlink_to(link.readlink())
    programs = [path for path in tree.files() if is_elf(path)]
    for library in shared_libraries(linker_report(programs)):
        tree.copy(library)


def is_elf(path: Path) -> bool:
    """Returns whether a file is a program or a shared library."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def linker_report(programs: Iterable[Path]) -> str:
    """Returns what `ldd` prints for some programs; its exit code tells only that one of them is linked statically."""
    command = ["ldd", *map(str, programs)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def shared_libraries(report: str) -> set[Path]:
    """Returns the shared libraries in a report of `ldd`.

    Raises:
        RootFilesystemError: One of them was not found.
    """
    found, program = set(), ""
    for line in report.splitlines():
        if not line.startswith("\t"):
            program = line.removesuffix(":")
            continue
        name, _, target = line.strip().partition(" => ")
        if target == "not found":
            raise RootFilesystemError(
                f"the base image lacks {name}, which {program} needs: install the package that has it"
            )
        path = (target or name).rpartition(" (")[0]
        if path.startswith("/"):
            found.add(Path(path))
    return found


def copy_certificates(tree: Tree) -> None:
    """Copies the bundle of CA certificates to where OpenSSL and gRPC look for it.

    Raises:
        RootFilesystemError: The base image has none.
    """
    if not Path(CERTIFICATES).exists():
        raise RootFilesystemError(f"the base image has no {CERTIFICATES}: install the package ca-certificates")
    tree.copy(Path(CERTIFICATES))
    default = tree.at(Path(ssl.get_default_verify_paths().openssl_cafile))
    default.parent.mkdir(parents=True, exist_ok=True)
    default.symlink_to(CERTIFICATES)


class Packages:
    """The database of Debian's packages.

    Args:
        folder: where dpkg keeps it.
    """

    def __init__(self, folder: Path = Path("/var/lib/dpkg")) -> None:
        stanzas = (folder / "status").read_text(encoding="utf-8").strip().split("\n\n")
        self._stanzas = {each.split("\n", 1)[0].removeprefix("Package: "): each for each in stanzas}
        self._info = folder / "info"

    def owners(self, files: Iterable[Path]) -> dict[str, set[Path]]:
        """Returns the packages that some files belong to, each with its files among them."""
        wanted, owners = set(files), dict[str, set[Path]]()
        for listing in self._info.glob("*.list"):
            paths = map(canonical, map(Path, listing.read_text(encoding="utf-8").splitlines()))
            if owned := wanted.intersection(paths):
                owners.setdefault(listing.stem.partition(":")[0], set()).update(owned)
        return owners

    def stanza(self, package: str) -> str:
        """Returns the description of a package, with its version, for example."""
        return self._stanzas[package]

    def checksums(self, package: str, files: set[Path]) -> str:
        """Returns the lines of the package's checksums that are about the given files."""
        (sums,) = (*self._info.glob(f"{package}.md5sums"), *self._info.glob(f"{package}:*.md5sums"))
        lines = sums.read_text(encoding="utf-8").splitlines(keepends=True)
        return "".join(each for each in lines if canonical(Path("/", each.split(maxsplit=1)[1].rstrip("\n"))) in files)


def write_package_metadata(tree: Tree, packages: Packages) -> None:
    """Writes which of Debian's packages the files come from, and the packages' licences."""
    owners = packages.owners(tree.files())
    owners.setdefault("ca-certificates", set())  # its installation generates the bundle
    for package, files in owners.items():
        tree.write(f"var/lib/dpkg/status.d/{package}", f"{packages.stanza(package)}\n\n")
        tree.write(f"var/lib/dpkg/status.d/{package}.md5sums", packages.checksums(package, files))
        licence = Path("/usr/share/doc", package, "copyright")
        tree.write(str(licence.relative_to("/")), licence.read_text(encoding="utf-8"))


def write_users(tree: Tree) -> None:
    """Writes the files of users, and makes the folders that programs expect."""
    for path, content in FILES.items():
        tree.write(path, content)
    home = tree.destination / "home" / USER
    home.mkdir(parents=True)
    os.chown(home, USER_ID, USER_ID)
    temporary = tree.destination / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)


def make(environment: Path, destination: Path) -> None:
    """Makes the root file system in a folder that does not exist.

    Raises:
        RootFilesystemError: The base image lacks something.
    """
    tree = Tree(destination)
    copy_python(tree, environment)
    copy_shared_libraries(tree)
    copy_certificates(tree)
    for path in ("/etc/os-release", "/etc/debian_version"):
        tree.copy(Path(path))
    write_package_metadata(tree, Packages())
    write_users(tree)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Makes the root file system of the image.")
    parser.add_argument("--environment", type=Path, required=True, help="the virtual environment with the packages")
    parser.add_argument("--destination", type=Path, required=True, help="a folder that does not exist")
    arguments = parser.parse_args()
    try:
        make(arguments.environment, arguments.destination)
    except RootFilesystemError as error:
        sys.exit(f"root_filesystem.py: {error}")


if __name__ == "__main__":
    main()
