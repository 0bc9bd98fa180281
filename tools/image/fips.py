r"""Compiles and installs OpenSSL's provider that is validated for FIPS 140-3, for the image's variant `fips`.

The Dockerfile runs it twice. First on the platform that builds, with Debian's compiler for that of the image:

    python3 fips.py compile --architecture arm64 --destination /provider

Then with the base image of the image's platform, because the provider tests itself while it is installed:

    python3 fips.py install --provider /provider --environment /opt/statefulroute --root /root-filesystem

All processes of the image then use this provider for cryptography, and OpenSSL's `base` provider for the formats of
keys: no other. `fips_start.py` is what Python runs at its start there.
"""

import argparse
import io
import json
import os
import py_compile
import shutil
import ssl
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.request import urlopen

#: The version that is validated, the number of its certificate, and its source with the SHA-256.
VERSION = "3.1.2"
CERTIFICATE = 4985
SOURCE = f"https://github.com/openssl/openssl/releases/download/openssl-{VERSION}/openssl-{VERSION}.tar.gz"
SOURCE_SHA256 = "a0ce69b8b97ea6a35b96875235aa453b966ba3cba8af2de23657d8b6767d6539"

#: GNU's name of a platform and OpenSSL's, by the names that builders of images have for architectures.
PLATFORMS = {
    "amd64": ("x86_64-linux-gnu", "linux-x86_64"),
    "arm64": ("aarch64-linux-gnu", "linux-aarch64"),
}

DOWNLOAD_SECONDS = 300

MODULE = "fips.so"
LICENCE = "LICENSE.txt"
SBOM = "sbom.cdx.json"

#: The provider has X25519 and X448 without claiming them to be approved, so TLS does not offer them.
CONFIGURATION = """\
# All cryptography is that of the provider that is validated for FIPS 140-3.
config_diagnostics = 1
openssl_conf = openssl

.include {module_configuration}

[openssl]
providers = providers
alg_section = algorithms
ssl_conf = tls

[providers]
fips = fips_sect
base = base

[base]
activate = 1

[algorithms]
default_properties = fips=yes

[tls]
system_default = tls_defaults

[tls_defaults]
MinProtocol = TLSv1.2
Groups = P-256:P-384:P-521
"""


class FipsError(Exception):
    """The provider cannot be compiled or installed."""


def compile_provider(architecture: str, destination: Path) -> None:
    """Compiles the provider from OpenSSL's source, and copies it with its licence.

    Raises:
        FipsError: The source is another one, or cannot be compiled, or the platform is not supported.
    """
    if architecture not in PLATFORMS:
        raise FipsError(f"the variant fips is for {' and '.join(PLATFORMS)}, not for {architecture}")
    triple, target = PLATFORMS[architecture]
    source = download(SOURCE)
    run("apt-get", "update", "--quiet=2", "--option=Acquire::Languages=none")
    compiler = f"g++-{triple.replace('_', '-')}"  # with the C library of the platform
    run("apt-get", "install", "--quiet=2", "--yes", "--no-install-recommends", compiler, "make", "perl")
    with tempfile.TemporaryDirectory() as temporary:
        folder = unpack(source, Path(temporary))
        build(folder, triple, target)
        destination.mkdir()
        for file in (folder / "providers" / MODULE, folder / LICENCE):
            shutil.copy(file, destination)


def download(address: str) -> bytes:
    """Returns what is at an address.

    Raises:
        FipsError: It cannot be downloaded.
    """
    try:
        with urlopen(address, timeout=DOWNLOAD_SECONDS) as response:  # noqa: S310 - a constant
            return bytes(response.read())
    except OSError as error:
        raise FipsError(
            f"{address} cannot be downloaded ({error}); `--build-context provider=FOLDER` takes a provider that is "
            f"compiled already from FOLDER/provider, with the files {MODULE} and {LICENCE}"
        ) from error


def unpack(source: bytes, folder: Path) -> Path:
    """Unpacks the archive of the validated source, and returns the folder with the source.

    Raises:
        FipsError: It is another one.
    """
    digest = sha256(source).hexdigest()
    if digest != SOURCE_SHA256:
        raise FipsError(f"the source has the SHA-256 {digest}, and that of OpenSSL {VERSION} has {SOURCE_SHA256}")
    with tarfile.open(fileobj=io.BytesIO(source)) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"openssl-{VERSION}"


def build(folder: Path, triple: str, target: str) -> None:
    """Compiles the provider alone in the folder of OpenSSL's source, with no option but the one that enables it.

    Raises:
        FipsError: It cannot be compiled.
    """
    run("./Configure", target, "enable-fips", f"--cross-compile-prefix={triple}-", folder=folder)
    run("make", "--silent", f"--jobs={os.cpu_count()}", "build_generated", f"providers/{MODULE}", folder=folder)


def install(provider: Path, environment: Path, root: Path) -> None:
    """Installs the provider into a root file system, and makes it the only one of all processes.

    Args:
        provider: The folder with the provider and its licence.
        environment: The virtual environment of the image.
        root: The root file system.

    Raises:
        FipsError: The provider fails its own tests.
    """
    openssl = Path(ssl.get_default_verify_paths().openssl_cafile).parent
    module = Path("/usr/lib", sysconfig.get_config_var("MULTIARCH"), "ossl-modules", MODULE)
    copied, configuration = below(root, module), openssl / "fipsmodule.cnf"
    copied.parent.mkdir(parents=True)
    shutil.copy(provider / MODULE, copied)
    copied.chmod(0o755)
    run("openssl", "fipsinstall", "-pedantic", "-module", str(copied), "-out", str(below(root, configuration)))
    main_configuration = below(root, openssl / "openssl.cnf")
    main_configuration.write_text(CONFIGURATION.format(module_configuration=configuration), encoding="utf-8")
    for each in (main_configuration, below(root, configuration)):
        each.chmod(0o644)
    licence = below(root, Path("/usr/share/doc", component()["name"], "copyright"))
    licence.parent.mkdir(parents=True)
    shutil.copy(provider / LICENCE, licence)
    install_start(below(root, environment))
    add_to_sbom(below(root, environment) / SBOM)


def below(root: Path, path: Path) -> Path:
    """Returns the place of an absolute path in a root file system."""
    return root / path.relative_to("/")


def install_start(environment: Path) -> None:
    """Installs what Python runs at its start, in a virtual environment of the root file system."""
    (packages,) = environment.glob("lib/python3*/site-packages")
    start = packages / "sitecustomize.py"
    shutil.copy(Path(__file__).with_name("fips_start.py"), start)
    py_compile.compile(str(start), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def component() -> dict[str, Any]:
    """Returns the provider as a component in CycloneDX.

    It has no CPE: scanners would report what is vulnerable in the rest of this version of OpenSSL, which is not there.
    """
    name = "openssl-fips-provider"
    purl = f"pkg:generic/{name}@{VERSION}"
    licences = [{"license": {"id": "Apache-2.0"}}]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": VERSION,
        "purl": purl,
        "description": f"OpenSSL's FIPS provider, CMVP certificate {CERTIFICATE}",
        "licenses": licences,
    }


def add_to_sbom(file: Path) -> None:
    """Adds the provider to the list of the image's contents."""
    sbom = json.loads(file.read_text(encoding="utf-8"))
    sbom["components"].append(component())
    file.write_text(json.dumps(sbom, indent=2) + "\n", encoding="utf-8")


def run(*command: str, folder: Path | None = None) -> None:
    """Runs a command, whose output goes to the log of the build.

    Raises:
        FipsError: It fails.
    """
    if subprocess.run(command, cwd=folder, check=False).returncode:
        raise FipsError(f"`{' '.join(command)}` failed: see above")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Compiles and installs OpenSSL's provider that is validated.")
    commands = parser.add_subparsers(required=True)
    compiling = commands.add_parser("compile", help="compile it for a platform")
    compiling.add_argument("--architecture", required=True, help="such as amd64")
    compiling.add_argument("--destination", type=Path, required=True, help="a folder that does not exist")
    compiling.set_defaults(run=lambda each: compile_provider(each.architecture, each.destination))
    installing = commands.add_parser("install", help="install it into the root file system of the image")
    for name in ("provider", "environment", "root"):
        installing.add_argument(f"--{name}", type=Path, required=True)
    installing.set_defaults(run=lambda each: install(each.provider, each.environment, each.root))
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except FipsError as error:
        sys.exit(f"fips.py: {error}")


if __name__ == "__main__":
    main()
