r"""Compiles the packages of the image that the index has no fitting wheels of, for the platform of the image.

The Dockerfile runs it twice. First with the base image's Python of the image's platform, whose headers it copies:

    python3 wheels.py headers /headers

Then on the platform that builds, with Debian's compilers for the other one, since emulated compilers take many hours:

    python3 wheels.py compile --headers /headers --architecture s390x --variant standard --destination /wheels \
        --requirements image.txt --build-requirements image-wheels.txt

The destination gets the wheels, and requirements that name them by their hashes instead of those of the index.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

#: What gRPC, cryptography, uvloop and cffi need, besides a compiler for the platform. Cargo runs what it compiles.
COMPILERS = ("autoconf", "automake", "cargo", "g++", "libtool", "make", "pkg-config")
LIBRARIES = ("libffi-dev", "libssl-dev", "libstd-rust-dev")

REQUIREMENT = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?P<marker>[^\\\n]*)\\\n(?:    --hash=.*\n)+", re.MULTILINE
)


class WheelsError(Exception):
    """A wheel cannot be made."""


class Variant(StrEnum):
    """What the packages use for cryptography."""

    STANDARD = "standard"  # libraries of their own, where the index has wheels
    FIPS = "fips"  # Debian's OpenSSL, which can load a validated provider


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform of the image.

    Attributes:
        triple: Its name in GNU's tools.
        debian: Its architecture in Debian's packages.
        python: Its machine in the names of wheels.
        rust: Its target in Rust's tools.
        compiled: The packages that the index has no wheels of.
    """

    triple: str
    debian: str
    python: str
    rust: str
    compiled: tuple[str, ...] = ()


#: By the names that builders of images have for architectures; `arm` is its version 7.
PLATFORMS = {
    "amd64": Platform("x86_64-linux-gnu", "amd64", "x86_64", "x86_64-unknown-linux-gnu"),
    "arm64": Platform("aarch64-linux-gnu", "arm64", "aarch64", "aarch64-unknown-linux-gnu"),
    "arm": Platform(
        "arm-linux-gnueabihf",
        "armhf",
        "armv7l",
        "armv7-unknown-linux-gnueabihf",
        ("cffi", "msgspec", "pyyaml", "uvloop"),
    ),
    "ppc64le": Platform(
        "powerpc64le-linux-gnu",
        "ppc64el",
        "ppc64le",
        "powerpc64le-unknown-linux-gnu",
        ("grpcio", "msgspec", "pyyaml", "uvloop"),
    ),
    "s390x": Platform(
        "s390x-linux-gnu",
        "s390x",
        "s390x",
        "s390x-unknown-linux-gnu",
        ("cryptography", "grpcio", "msgspec", "uvloop"),
    ),
}
#: The packages whose wheels in the index contain a library for cryptography.
CRYPTOGRAPHIC = ("cryptography", "grpcio")


def packages_to_compile(platform: Platform, variant: Variant) -> list[str]:
    """Returns the names of the packages that are compiled."""
    further = CRYPTOGRAPHIC if variant is Variant.FIPS else ()
    return sorted({*platform.compiled, *further})


def copy_headers(destination: Path) -> None:
    """Copies what compilers need to know about the Python that runs this: its headers, if it has them, and variables.

    Python reads the variables of another platform from a module, whose name it is told by an environment variable.
    """
    destination.mkdir()
    include = Path(sysconfig.get_path("include"))
    # In Debian, one header is elsewhere, and that in the folder of the others includes it.
    of_platform = include.parent / sysconfig.get_config_var("MULTIARCH") / include.name
    for folder in (include, of_platform):
        if folder.exists():
            shutil.copytree(folder, destination / folder.relative_to(include.parent))
    library = Path(sysconfig.get_path("stdlib"))
    variables, *_ = library.glob(f"_sysconfigdata_*{sysconfig.get_config_var('MULTIARCH')}.py")
    shutil.copy(variables, destination)


def environment(platform: Platform, headers: Path) -> dict[str, str]:
    """Returns the environment variables that make the packages' build systems compile for another platform.

    Args:
        platform: The platform.
        headers: What `copy_headers` copied.

    Raises:
        WheelsError: There are no headers.
    """
    (variables,) = headers.glob("_sysconfigdata_*.py")
    pyconfig = next(headers.glob("*/pyconfig.h"), None)
    if pyconfig is None:
        raise WheelsError("the base image has no headers of Python: install libpython3-dev")
    compiler, rust = f"{platform.triple}-gcc", platform.rust.upper().replace("-", "_")
    # These replace the flags that Python was compiled with. Without NDEBUG, assertions of gRPC end a resolver with TLS.
    flags = f"-O2 -g0 -DNDEBUG -I{pyconfig.parent} -I{headers}"
    return {
        # Python and setuptools
        "_PYTHON_HOST_PLATFORM": f"linux-{platform.python}",
        "_PYTHON_SYSCONFIGDATA_NAME": variables.stem,
        "PYTHONPATH": str(headers),
        "CC": compiler,
        "CXX": f"{platform.triple}-g++",
        "AR": f"{platform.triple}-ar",
        "LDSHARED": f"{compiler} -shared",
        "LDCXXSHARED": f"{platform.triple}-g++ -shared",
        "CFLAGS": flags,
        "CXXFLAGS": flags,
        # OpenSSL
        "OPENSSL_INCLUDE_DIR": "/usr/include",
        "OPENSSL_LIB_DIR": f"/usr/lib/{platform.triple}",
        "PKG_CONFIG_PATH": f"/usr/lib/{platform.triple}/pkgconfig",
        # gRPC: its own library for TLS is not validated, and supports fewer platforms.
        "GRPC_PYTHON_BUILD_SYSTEM_OPENSSL": "1",
        "GRPC_PYTHON_BUILD_EXT_COMPILER_JOBS": str(os.cpu_count()),
        # uvloop
        "LIBUV_CONFIGURE_HOST": platform.triple,
        # cryptography: OpenSSL's legacy algorithms are not in the image.
        "CRYPTOGRAPHY_BUILD_OPENSSL_NO_LEGACY": "1",
        "CARGO_BUILD_TARGET": platform.rust,
        f"CARGO_TARGET_{rust}_LINKER": compiler,
        "PYO3_CROSS_PYTHON_VERSION": PYTHON,
    }


def install_compilers(platform: Platform) -> None:
    """Installs Debian's compilers and libraries for a platform."""
    compiler = f"g++-{platform.triple.replace('_', '-')}"
    libraries = (f"{each}:{platform.debian}" for each in LIBRARIES)
    run("dpkg", "--add-architecture", platform.debian)
    run("apt-get", "update", "--quiet=2", "--option=Acquire::Languages=none")
    run("apt-get", "install", "--quiet=2", "--yes", "--no-install-recommends", compiler, *COMPILERS, *libraries)


def compile_wheels(requirements: Iterable[str], tools: Path, destination: Path, variables: Mapping[str, str]) -> None:
    """Compiles packages, one after the other: gRPC takes most of the time, and uses all processors."""
    python = tools / "bin" / f"python{PYTHON}"  # the compiler of cryptography takes the version from the name
    pip = (str(python), "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-binary=:all:")
    path = f"{tools / 'bin'}:{os.environ['PATH']}"
    for requirement in requirements:
        source = destination / "source.txt"
        source.write_text(requirement, encoding="utf-8")
        options = (f"--requirement={source}", "--require-hashes", f"--wheel-dir={destination}")
        run(*pip, *options, variables={**variables, "PATH": path})
        source.unlink()


def locked(requirements: str) -> dict[str, str]:
    """Returns the lines of each package in locked requirements, with its version and hashes."""
    return {match["name"]: match[0] for match in REQUIREMENT.finditer(requirements)}


def with_compiled(requirements: str, wheels: Mapping[str, Path]) -> str:
    """Returns requirements in which compiled packages have the hashes of their wheels."""

    def replaced(match: re.Match[str]) -> str:
        wheel = wheels.get(match["name"])
        if wheel is None:
            return match[0]
        digest = sha256(wheel.read_bytes()).hexdigest()
        return f"{match['name']}=={match['version']}{match['marker']}\\\n    --hash=sha256:{digest}\n"

    return REQUIREMENT.sub(replaced, requirements)


def run(*command: str, variables: Mapping[str, str] | None = None) -> None:
    """Runs a command, whose output goes to the log of the build.

    Raises:
        WheelsError: It fails.
    """
    if subprocess.run(command, env={**os.environ, **(variables or {})}, check=False).returncode:
        raise WheelsError(f"`{' '.join(command)}` failed: see above")


def make(arguments: argparse.Namespace) -> None:
    """Makes the wheels of a platform, and the requirements with their hashes.

    Raises:
        WheelsError: A wheel cannot be made.
    """
    destination: Path = arguments.destination
    destination.mkdir()
    requirements = arguments.requirements.read_text(encoding="utf-8")
    platform = PLATFORMS[arguments.architecture]
    packages = packages_to_compile(platform, arguments.variant)
    if packages:
        install_compilers(platform)
        tools = Path("/compile-tools")
        run(sys.executable, "-m", "venv", str(tools))
        run(
            str(tools / "bin" / "pip"),
            "install",
            "--quiet",
            "--require-hashes",
            "-r",
            str(arguments.build_requirements),
        )
        sources = locked(requirements)
        variables = environment(platform, arguments.headers)
        compile_wheels((sources[each] for each in packages), tools, destination, variables)
    wheels = {path.name.split("-", 1)[0]: path for path in destination.glob("*.whl")}
    (destination / "requirements.txt").write_text(with_compiled(requirements, wheels), encoding="utf-8")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Compiles the image's packages that the index has no wheels of.")
    commands = parser.add_subparsers(required=True)
    headers = commands.add_parser("headers", help="copy the headers of the Python that runs this")
    headers.add_argument("destination", type=Path, help="a folder that does not exist")
    headers.set_defaults(run=lambda each: copy_headers(each.destination))
    compiling = commands.add_parser("compile", help="compile for a platform")
    compiling.add_argument("--architecture", choices=PLATFORMS, required=True)
    compiling.add_argument("--variant", type=Variant, choices=list(Variant), required=True)
    for name in ("headers", "requirements", "build-requirements", "destination"):
        compiling.add_argument(f"--{name}", type=Path, required=True)
    compiling.set_defaults(run=make)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except WheelsError as error:
        sys.exit(f"wheels.py: {error}")


if __name__ == "__main__":
    main()
