"""Tests that Envoy's messages are generated from their definition."""

from pathlib import Path

import pytest

protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools generates the messages in development only")

ROOT = Path(__file__).parents[3] / "operator"
FOLDER = Path("statefulroute/resolver/grpc")


@pytest.mark.parametrize("definition", ["extproc", "extauthz"])
def test_generated_messages_match_the_definition(tmp_path: Path, definition: str) -> None:
    googles = Path(protoc.__file__).parent / "_proto"
    command = [
        "protoc",
        f"--proto_path={googles}",
        f"--proto_path={ROOT}",
        f"--python_out={tmp_path}",
        f"--pyi_out={tmp_path}",
    ]
    assert protoc.main([*command, str(ROOT / FOLDER / f"{definition}.proto")]) == 0
    for name in (f"{definition}_pb2.py", f"{definition}_pb2.pyi"):
        generated, stored = (folder / FOLDER / name for folder in (tmp_path, ROOT))
        assert generated.read_text() == stored.read_text(), (
            f"{name} differs from {definition}.proto: run `make generate`"
        )
