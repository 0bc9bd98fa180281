"""The root file system of the image has what Python and the packages need, and nothing else."""

from pathlib import Path

import pytest

from image.root_filesystem import Packages, RootFilesystemError, Tree, shared_libraries, wanted_modules

REPORT = """\
/opt/packages/module.so:
\tlinux-vdso.so.1 (0x00007ffd3a9f2000)
\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f1c5a3e0000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f1c5a62d000)
/opt/packages/data.so:
\tstatically linked
"""

STATUS = """\
Package: libc6
Status: install ok installed
Version: 2.41-12

Package: dash
Status: install ok installed
Version: 0.5.12
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A root with merged folders, as Debian has."""
    source = tmp_path / "source"
    (source / "usr/lib/python3").mkdir(parents=True)
    (source / "lib").symlink_to("usr/lib")
    (source / "usr/lib/libz.so.1.3").write_text("a library")
    (source / "usr/lib/libz.so.1").symlink_to("libz.so.1.3")
    return source


def content(folder: Path) -> set[str]:
    """Returns the paths of what is not a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file()}


def test_a_link_is_copied_with_the_file_that_it_leads_to(source: Path, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root", source)
    tree.copy(source / "lib/libz.so.1")
    assert content(tmp_path / "root") == {"usr/lib/libz.so.1", "usr/lib/libz.so.1.3"}
    assert (tmp_path / "root/usr/lib/libz.so.1").readlink() == Path("libz.so.1.3")
    assert list(tree.files()) == [source / "usr/lib/libz.so.1.3"]


def test_the_libraries_and_the_linker_that_ldd_reports_are_found() -> None:
    expected = {Path("/lib/x86_64-linux-gnu/libz.so.1"), Path("/lib64/ld-linux-x86-64.so.2")}
    assert shared_libraries(REPORT) == expected


def test_a_library_that_the_base_image_lacks_is_named() -> None:
    report = f"{REPORT}/opt/packages/grpc.so:\n\tlibstdc++.so.6 => not found\n"
    with pytest.raises(RootFilesystemError, match=r"lacks libstdc\+\+\.so\.6, which /opt/packages/grpc\.so needs"):
        shared_libraries(report)


def test_modules_that_nothing_imports_are_omitted(tmp_path: Path) -> None:
    extensions = tmp_path / "lib-dynload"
    names = (
        "ssl.py",
        "turtle.py",
        "__pycache__/ssl.cpython-313.pyc",
        "ensurepip/__init__.py",
        "json/test/x.py",
        "idlelib/x.py",
    )
    for path in (*(tmp_path / each for each in names), extensions / "_ssl.so", extensions / "_tkinter.so"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = {str(path.relative_to(tmp_path)) for path in wanted_modules(tmp_path)}
    assert found == {"ssl.py", "json/test/x.py", "lib-dynload/_ssl.so"}


def test_packages_are_those_of_the_files(source: Path, tmp_path: Path) -> None:
    database = tmp_path / "dpkg"
    (database / "info").mkdir(parents=True)
    (database / "status").write_text(STATUS)
    listed = f"{source}/lib\n{source}/lib/libz.so.1.3\n{source}/usr/lib/other.so\n"
    (database / "info/libc6:amd64.list").write_text(listed)
    (database / "info/libc6:amd64.md5sums").write_text(f"0123  {source}/lib/libz.so.1.3\n4567  {source}/lib/other.so\n")
    (database / "info/dash.list").write_text(f"{source}/bin/sh\n")
    packages, file = Packages(database), source / "usr/lib/libz.so.1.3"
    assert packages.owners([file]) == {"libc6": {file}}
    assert packages.stanza("libc6").endswith("Version: 2.41-12")
    assert packages.checksums("libc6", {file}) == f"0123  {source}/lib/libz.so.1.3\n"
