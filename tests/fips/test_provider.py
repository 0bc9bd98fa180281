"""All cryptography in the image for FIPS is that of the validated provider, and nothing runs without it."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fips.conftest import Run
from image import fips, fips_start
from support.unpacked_image import CHROOT

#: Prints the providers of a process, each with its version.
PROVIDERS = """
import ctypes, ssl
crypto = ctypes.CDLL("libcrypto.so.3")
crypto.OSSL_PROVIDER_get0_name.restype = ctypes.c_char_p
crypto.OSSL_PROVIDER_get0_name.argtypes = [ctypes.c_void_p]
found = []
@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def each(provider, _):
    found.append(crypto.OSSL_PROVIDER_get0_name(provider).decode())
    return 1
assert crypto.OSSL_PROVIDER_do_all(None, each, None) == 1
print(sorted(found))
"""

REFUSED = {
    "hashlib.md5": "import hashlib; hashlib.md5(b'')",
    "hashlib.md5, not for security": "import hashlib; hashlib.md5(b'', usedforsecurity=False)",
    "hashlib.md5, with cryptography": (
        "import cryptography.hazmat.bindings._rust, hashlib; hashlib.md5(b'', usedforsecurity=False)"
    ),
    "hashlib.new": "import hashlib; hashlib.new('md5')",
    "hmac": "import hmac; hmac.new(bytes(16), b'', 'md5').digest()",
    "uuid3": "import uuid; uuid.uuid3(uuid.NAMESPACE_DNS, 'name')",
    "hashlib.scrypt": "import hashlib; hashlib.scrypt(b'password', salt=bytes(16), n=2, r=8, p=1)",
    "ssl: ChaCha20": "import ssl; ssl.create_default_context().set_ciphers('ECDHE-RSA-CHACHA20-POLY1305')",
    "cryptography: MD5": "from cryptography.hazmat.primitives.hashes import MD5, Hash; Hash(MD5())",
    "cryptography: ChaCha20": (
        "from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305 as C;"
        "C(bytes(32)).encrypt(bytes(12), b'', None)"
    ),
    "cryptography: Ed25519": (
        "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as K; K.generate().sign(b'')"
    ),
    "cryptography: X25519": (
        "from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey as K; K.generate()"
    ),
}

REFUSALS = {
    "ValueError",
    "cryptography.exceptions.InternalError",
    "cryptography.exceptions.UnsupportedAlgorithm",
    "ssl.SSLError",
}

APPROVED = {
    "hashlib": "import hashlib; [hashlib.new(each, b'text') for each in ('sha1', 'sha256', 'sha512', 'sha3_256')]",
    "hmac": "import hmac; hmac.new(bytes(16), b'', 'sha256').digest()",
    "ssl": "import ssl; ssl.create_default_context()",
    "cryptography": (
        "from cryptography.hazmat.primitives.asymmetric import ec; from cryptography.hazmat.primitives import hashes;"
        "ec.generate_private_key(ec.SECP256R1()).sign(b'', ec.ECDSA(hashes.SHA256()))"
    ),
    "cryptography knows": (
        "from cryptography.hazmat.backends.openssl.backend import backend; assert backend._fips_enabled"
    ),
    "jwt": (
        "import jwt; from cryptography.hazmat.primitives.asymmetric import rsa;"
        "key = rsa.generate_private_key(65537, 2048); token = jwt.encode({}, key, 'RS256');"
        "jwt.decode(token, key.public_key(), ['RS256'])"
    ),
    "grpc": "import grpc; grpc.ssl_channel_credentials()",
}


def test_processes_have_the_validated_provider_and_that_of_formats(run_python: Run) -> None:
    assert run_python(PROVIDERS).stdout == "['base', 'fips']\n"


@pytest.mark.parametrize("what", APPROVED)
def test_approved_algorithms_work(run_python: Run, what: str) -> None:
    completed = run_python(APPROVED[what])
    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "", "")


@pytest.mark.parametrize("what", REFUSED)
def test_other_algorithms_are_refused(run_python: Run, what: str) -> None:
    completed = run_python(REFUSED[what])
    assert completed.returncode == 1
    errors = [line.partition(":")[0] for line in completed.stderr.splitlines()]
    assert REFUSALS.intersection(errors), completed.stderr


def test_packages_use_the_openssl_of_the_image(image_root: Path) -> None:
    """What contains a library of its own has names of that library's files, for its messages, and needs no other."""
    (linker,) = (each for each in image_root.rglob("ld-linux-*.so.*") if not each.is_symlink())
    packages = [*image_root.glob("opt/statefulroute/lib/python3*/site-packages")]
    own = {
        "grpc/_cython/cygrpc.*.so": b"third_party/boringssl",
        "cryptography/hazmat/bindings/_rust.*.so": b"providers/implementations",
    }
    for pattern, file_of_library in own.items():
        (library,) = packages[0].glob(pattern)
        command = [CHROOT, image_root, f"/{linker.relative_to(image_root)}", "--list"]
        command.append(f"/{library.relative_to(image_root)}")
        needed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "/libcrypto.so.3 " in needed
        assert file_of_library not in library.read_bytes()


@pytest.fixture
def change() -> Iterator[Callable[[Path, bytes], None]]:
    """Changes a file of the image until the end of the test."""
    before: dict[Path, bytes] = {}

    def write(file: Path, content: bytes) -> None:
        before[file] = file.read_bytes()
        file.write_bytes(content)

    yield write
    for file, content in before.items():
        file.write_bytes(content)


def module_of(root: Path) -> Path:
    """Returns the provider in the image."""
    (found,) = root.glob(f"usr/lib/*/ossl-modules/{fips.MODULE}")
    return found


def assert_nothing_runs(completed: subprocess.CompletedProcess[str]) -> None:
    assert (completed.returncode, completed.stdout) == (fips_start.FAILURE, "")
    assert completed.stderr.endswith(f"{fips_start.MESSAGE}\n")


def test_nothing_runs_with_another_provider(
    image_root: Path, run_python: Run, change: Callable[[Path, bytes], None]
) -> None:
    module = module_of(image_root)
    content = bytearray(module.read_bytes())
    content[-1] ^= 1
    change(module, bytes(content))
    assert_nothing_runs(run_python("print('started')"))
    command = [CHROOT, image_root, "/opt/statefulroute/bin/statefulroute", "--version"]
    assert_nothing_runs(subprocess.run(command, capture_output=True, text=True, check=False))


def test_nothing_runs_without_the_configuration(
    image_root: Path, run_python: Run, change: Callable[[Path, bytes], None]
) -> None:
    change(image_root / "usr/lib/ssl/openssl.cnf", b"")
    assert_nothing_runs(run_python("print('started')"))


def test_nothing_runs_with_another_configuration(run_python: Run) -> None:
    assert_nothing_runs(run_python("print('started')", {"OPENSSL_CONF": "/etc/passwd"}))


def test_list_of_contents_and_licences_name_the_provider(image_root: Path) -> None:
    sbom = json.loads((image_root / "opt/statefulroute" / fips.SBOM).read_text())
    assert fips.component() in sbom["components"]
    licence = image_root / "usr/share/doc" / fips.component()["name"] / "copyright"
    assert "Apache License" in licence.read_text()
