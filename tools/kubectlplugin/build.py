"""Builds the plugin for this platform with PyInstaller: `python -m kubectlplugin.build DESTINATION`.

The archive contains a folder with the program, Python and all packages: it needs no Python on the machine. The modules
are files, not one compressed archive, which would be read and unpacked at every start.
"""

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import distributions, version
from pathlib import Path

from release import sbom

PROGRAM = "kubectl-statefulroute"

#: The program that kubectl runs to complete the plugin: the same one, by another name.
COMPLETION = "kubectl_complete-statefulroute"

_ENTRY = Path(__file__).with_name("entry.py")
_ROOT = Path(__file__).parents[2]
_LICENSE = _ROOT / "LICENSE"

#: Go's names, as krew has them, of the systems and architectures that Python names in another way.
_SYSTEMS = {"win32": "windows"}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

#: Commands are imported by name, and the console reads its pages. If the program contained setuptools, PyInstaller
#: would import it at every start; in Python 3.11, PyInstaller takes distutils from it.
_OPTIONS = (
    "--onedir",
    "--debug=noarchive",
    f"--name={PROGRAM}",
    "--copy-metadata=statefulroute",
    "--collect-submodules=statefulroute.cli",
    "--collect-submodules=statefulroute.console",
    "--collect-data=statefulroute",
    "--collect-submodules=textual.widgets",
    "--exclude-module=setuptools",
    "--exclude-module=distutils",
    "--noconfirm",
    "--log-level=ERROR",
)


def archive_name(release: str, system: str, architecture: str) -> str:
    """Returns the name of the archive of a release for a platform, by Go's names of both."""
    return f"{PROGRAM}-{release}-{system}-{architecture}{_archive_ending(system)}"


def program_file(program: str, system: str) -> str:
    """Returns the name of the file of a program."""
    return f"{program}.exe" if system == "windows" else program


def _archive_ending(system: str) -> str:
    return ".zip" if system == "windows" else ".tar.gz"


def build(destination: Path) -> Path:
    """Builds the plugin for this platform, and returns its archive in the folder `destination`."""
    system, machine = _SYSTEMS.get(sys.platform, sys.platform), platform.machine().lower()
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name = archive_name(project["version"], system, _ARCHITECTURES.get(machine, machine))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = (f"--distpath={root / 'dist'}", f"--workpath={root / 'work'}", f"--specpath={root}")
        subprocess.run([sys.executable, "-m", "PyInstaller", *_OPTIONS, *paths, _ENTRY], check=True)
        _add_completion(root / "dist" / PROGRAM, system)
        shutil.copy(_LICENSE, root / "dist")
        destination.mkdir(parents=True, exist_ok=True)
        base = destination / name.removesuffix(_archive_ending(system))
        archive = Path(shutil.make_archive(str(base), "zip" if system == "windows" else "gztar", root / "dist"))
        _write_sbom(root / "dist" / PROGRAM / "_internal", archive.with_name(f"{archive.name}.cdx.json"))
        return archive


def _add_completion(folder: Path, system: str) -> None:
    """Adds the program of the completion: a link, or a copy on Windows, where many users must not create links."""
    program, completion = (folder / program_file(name, system) for name in (PROGRAM, COMPLETION))
    if system == "windows":
        shutil.copy(program, completion)
    else:
        completion.symlink_to(program.name)


def _write_sbom(bundle: Path, file: Path) -> None:
    """Writes what a bundle of PyInstaller contains."""
    program = sbom.component("application", "pypi", "statefulroute", version("statefulroute"))
    packages = sbom.bundled_packages(distributions(), bundle)
    builder = sbom.component("library", "pypi", "pyinstaller", version("pyinstaller"))  # its program starts the plugin
    javascript = sbom.vendored_javascript(bundle / "statefulroute")
    contents = [sbom.python(), builder, *packages, *javascript, *sbom.shared_libraries(bundle)]
    sbom.write_sbom(file, sbom.bundle_sbom(program, contents))


def main() -> None:
    """Builds the plugin, and prints the path of the archive."""
    parser = argparse.ArgumentParser(prog="python -m kubectlplugin.build", description=__doc__)
    parser.add_argument("destination", type=Path, help="the folder of the archive")
    sys.stdout.write(f"{build(parser.parse_args().destination)}\n")


if __name__ == "__main__":
    main()
