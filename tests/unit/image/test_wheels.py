"""The packages that the index has no wheels of are compiled for their platform, from the locked sources."""

import re
import subprocess
import sys
import sysconfig
from hashlib import sha256
from pathlib import Path

import pytest

from image import wheels
from image.wheels import PLATFORMS, Variant

ROOT = Path(__file__).parents[3]
REQUIREMENTS = (ROOT / "requirements/image.txt").read_text(encoding="utf-8")


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    """The headers of a Python for s390x, as in Docker's image."""
    folder = tmp_path / "headers"
    (folder / "python3.13").mkdir(parents=True)
    (folder / "python3.13/pyconfig.h").touch()
    (folder / "_sysconfigdata__linux_s390x-linux-gnu.py").write_text(
        "build_time_vars = {'EXT_SUFFIX': '.cpython-313-s390x-linux-gnu.so', 'MULTIARCH': 's390x-linux-gnu'}"
    )
    return folder


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_nothing_is_compiled_if_the_index_has_all_wheels(architecture: str) -> None:
    assert wheels.packages_to_compile(PLATFORMS[architecture], Variant.STANDARD) == []


@pytest.mark.parametrize("architecture", PLATFORMS)
def test_packages_that_contain_cryptography_are_compiled_for_fips(architecture: str) -> None:
    compiled = wheels.packages_to_compile(PLATFORMS[architecture], Variant.FIPS)
    assert {"cryptography", "grpcio"} <= set(compiled)
    assert len(compiled) == len(set(compiled))


@pytest.mark.parametrize("architecture", PLATFORMS)
def test_all_compiled_packages_are_locked(architecture: str) -> None:
    compiled = wheels.packages_to_compile(PLATFORMS[architecture], Variant.FIPS)
    sources = wheels.locked(REQUIREMENTS)
    for package in compiled:
        assert sources[package].startswith(f"{package}==")
        assert "--hash=sha256:" in sources[package]


def test_all_lines_of_a_requirement_are_found() -> None:
    names = re.findall(r"^([a-z0-9-]+)==", REQUIREMENTS, re.MULTILINE)
    assert list(wheels.locked(REQUIREMENTS)) == names


def test_only_compiled_packages_get_the_hashes_of_their_wheels(tmp_path: Path) -> None:
    wheel = tmp_path / "uvloop-0.23.0-cp313-cp313-linux_s390x.whl"
    wheel.write_bytes(b"a wheel")
    changed = wheels.with_compiled(REQUIREMENTS, {"uvloop": wheel})
    before, after = wheels.locked(REQUIREMENTS), wheels.locked(changed)
    first_line = before["uvloop"].split("\n", 1)[0]
    assert after.pop("uvloop") == f"{first_line}\n    --hash=sha256:{sha256(b'a wheel').hexdigest()}\n"
    del before["uvloop"]
    assert after == before


def test_python_builds_for_the_other_platform(headers: Path) -> None:
    variables = wheels.environment(PLATFORMS["s390x"], headers)
    program = "import sysconfig; print(sysconfig.get_platform(), sysconfig.get_config_var('EXT_SUFFIX'))"
    told = subprocess.run(
        [sys.executable, "-S", "-c", program], env=variables, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["linux-s390x", ".cpython-313-s390x-linux-gnu.so"]
    assert f"-I{headers}/python3.13" in variables["CFLAGS"].split()


def test_rust_links_by_the_compiler_of_the_other_platform(headers: Path) -> None:
    variables = wheels.environment(PLATFORMS["arm"], headers)
    assert variables["CARGO_BUILD_TARGET"] == "armv7-unknown-linux-gnueabihf"
    linker = variables["CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER"]
    assert linker == variables["CC"] == "arm-linux-gnueabihf-gcc"


def test_packages_are_compiled_without_assertions_and_legacy_algorithms(headers: Path) -> None:
    variables = wheels.environment(PLATFORMS["s390x"], headers)
    # These replace Python's own flags, which have it. With assertions, gRPC ends at the first handshake of a server.
    assert {"-DNDEBUG"} <= {*variables["CFLAGS"].split()} & {*variables["CXXFLAGS"].split()}
    # The name at run time has no BUILD.
    assert variables["CRYPTOGRAPHY_BUILD_OPENSSL_NO_LEGACY"] == "1"


def test_the_headers_of_this_python_are_copied(tmp_path: Path) -> None:
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("this Python has no headers")
    wheels.copy_headers(tmp_path / "headers")
    variables = wheels.environment(PLATFORMS["amd64"], tmp_path / "headers")
    name = variables["_PYTHON_SYSCONFIGDATA_NAME"]
    assert name.endswith(sysconfig.get_config_var("MULTIARCH"))
    assert (tmp_path / f"headers/python3.{sys.version_info.minor}/Python.h").exists()


def test_a_python_without_headers_compiles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get_path = sysconfig.get_path
    paths = {"include": str(tmp_path / "include/python3.13")}  # which does not exist
    monkeypatch.setattr(sysconfig, "get_path", lambda name: paths.get(name) or get_path(name))
    headers = tmp_path / "headers"
    wheels.copy_headers(headers)
    with pytest.raises(wheels.WheelsError, match=r"has no headers of Python: install libpython3-dev"):
        wheels.environment(PLATFORMS["s390x"], headers)


def test_a_command_that_fails_is_named() -> None:
    with pytest.raises(wheels.WheelsError, match=r"`false now` failed: see above"):
        wheels.run("false", "now")
