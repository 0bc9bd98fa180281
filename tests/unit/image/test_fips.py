"""The variant for FIPS: what is pinned, what is configured, and how Python starts without the provider."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from image import fips, fips_start, wheels

ROOT = Path(__file__).parents[3]
START = Path(fips_start.__file__)


@pytest.fixture
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_source_has_the_validated_version() -> None:
    assert fips.SOURCE.endswith("/openssl-3.1.2/openssl-3.1.2.tar.gz")


def test_another_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(fips.FipsError, match=f"and that of OpenSSL {fips.VERSION} has {fips.SOURCE_SHA256}"):
        fips.unpack(b"another one", tmp_path)


def test_source_that_is_out_of_reach_is_reported() -> None:
    with pytest.raises(fips.FipsError, match="takes a provider that is compiled already from FOLDER/provider"):
        fips.download("http://127.0.0.1:1/")


def test_another_platform_is_refused(tmp_path: Path) -> None:
    with pytest.raises(fips.FipsError, match="the variant fips is for amd64 and arm64, not for s390x"):
        fips.compile_provider("s390x", tmp_path / "provider")


def test_both_scripts_compile_for_the_same_platforms() -> None:
    """The Dockerfile copies each alone: a change of the provider must not compile gRPC again."""
    compilers = {architecture: triple for architecture, (triple, _) in fips.PLATFORMS.items()}
    assert compilers.items() <= {each: platform.triple for each, platform in wheels.PLATFORMS.items()}.items()


def test_only_the_variant_has_a_provider(dockerfile: str) -> None:
    stages = dict(re.findall(r"^FROM [^\n]* AS (\S+)\n(.*?)(?=^FROM|\Z)", dockerfile, re.MULTILINE | re.DOTALL))
    conditions = {name: re.findall(r"(if .*?) \\\n *(python3 /fips.py \w+)", lines) for name, lines in stages.items()}
    condition = 'if [ "${VARIANT}" = fips ]; then'
    assert {name: found for name, found in conditions.items() if found} == {
        "provider": [(condition, "python3 /fips.py compile")],
        "root": [(condition, "python3 /fips.py install")],
    }
    assert dockerfile.count("python3 /fips.py ") == 2
    assert re.search(r"^ARG VARIANT=standard$", dockerfile, re.MULTILINE)


def test_tests_and_documents_name_the_version_and_the_certificate() -> None:
    page = (ROOT / "docs/guides/fips.md").read_text(encoding="utf-8")
    assert f"FIPS provider {fips.VERSION}" in page
    assert f"/certificate/{fips.CERTIFICATE})" in page


def test_all_algorithms_are_those_of_the_provider() -> None:
    configuration = fips.CONFIGURATION.format(module_configuration="/usr/lib/ssl/fipsmodule.cnf")
    assert ".include /usr/lib/ssl/fipsmodule.cnf\n" in configuration
    assert "\n[algorithms]\ndefault_properties = fips=yes\n" in configuration
    (providers,) = re.findall(r"^\[providers\]\n(.*?)\n\n", configuration, re.MULTILINE | re.DOTALL)
    assert providers.splitlines() == ["fips = fips_sect", "base = base"]
    (groups,) = re.findall(r"^Groups = (.*)$", configuration, re.MULTILINE)
    assert "X25519" not in groups


def test_list_of_contents_gets_the_provider(tmp_path: Path) -> None:
    file = tmp_path / "sbom.cdx.json"
    file.write_text(json.dumps({"bomFormat": "CycloneDX", "components": [{"name": "kopf"}]}))
    fips.add_to_sbom(file)
    first, added = json.loads(file.read_text())["components"]
    assert first == {"name": "kopf"}
    assert added["purl"] == added["bom-ref"] == f"pkg:generic/openssl-fips-provider@{fips.VERSION}"
    assert "cpe" not in added


def test_python_starts_in_an_environment_by_the_installed_file(tmp_path: Path) -> None:
    packages = tmp_path / "lib/python3.13/site-packages"
    packages.mkdir(parents=True)
    fips.install_start(tmp_path)
    assert (packages / "sitecustomize.py").read_text() == START.read_text()
    assert list((packages / "__pycache__").glob("sitecustomize.*.pyc"))


def run(code: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Runs code in a Python of its own, which imports from some folders, too."""
    # Not with the environment of the tests: its sitecustomize would be another one.
    program = f"import sys; sys.path[:0] = {[str(each) for each in paths]}; {code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_python_has_no_algorithms_of_its_own_but_blake2() -> None:
    code = (
        "import fips_start; fips_start.take_away_own_algorithms(); import hashlib, hmac, random; random.Random('seed');"
        "import importlib.util; names = ('_sha1', '_sha2', '_sha3', '_blake2');"
        "print([each for each in names if sys.modules.get(each, True)]);"
        "print(hashlib.sha256.__name__, hashlib.sha3_256.__name__, hashlib.blake2b(b'').hexdigest()[:8])"
    )
    completed = run(code, START.parent)
    assert completed.stderr == ""
    assert completed.stdout == "['_blake2']\nopenssl_sha256 openssl_sha3_256 786a02f7\n"


def test_own_md5_refuses() -> None:
    code = "import fips_start; fips_start.take_away_own_algorithms(); import _md5; _md5.md5(b'')"
    completed = run(code, START.parent)
    assert completed.stderr.endswith(
        "ValueError: MD5 is not approved for FIPS, and this image has no implementation of it\n"
    )


def test_nothing_runs_without_the_provider(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(START.read_text())
    completed = run("sys.modules.pop('sitecustomize', None); import sitecustomize; print('started')", tmp_path)
    assert (completed.returncode, completed.stdout) == (fips_start.FAILURE, "")
    assert completed.stderr == f"{fips_start.MESSAGE}\n"


def test_nothing_runs_without_the_library_of_openssl(tmp_path: Path) -> None:
    # Python reports an exception of the module, and goes on.
    (tmp_path / "sitecustomize.py").write_text(START.read_text())
    hidden = "sys.modules.pop('sitecustomize', None); sys.modules['_hashlib'] = None"
    completed = run(f"{hidden}; import sitecustomize; print('started')", tmp_path)
    assert (completed.returncode, completed.stdout) == (fips_start.FAILURE, "")
    assert completed.stderr == f"{fips_start.MESSAGE}\n"


def test_hashlib_is_imported_before_packages_that_load_other_algorithms() -> None:
    code = (
        "import fips_start; fips_start.provider_works = lambda: True; sys.modules.pop('hashlib', None);"
        "fips_start.start(); print('hashlib' in sys.modules)"
    )
    assert run(code, START.parent).stdout == "True\n"
