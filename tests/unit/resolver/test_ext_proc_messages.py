"""Tests that Envoy's messages are generated from their definition."""

from pathlib import Path

import pytest

protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools generates the messages in development only")

ROOT = Path(__file__).parents[3] / "operator"
FOLDER = Path("statefulroute/resolver/ext_proc")


def test_generated_messages_match_the_definition(tmp_path: Path) -> None:
    googles = Path(protoc.__file__).parent / "_proto"
    command = [
        "protoc",
        f"--proto_path={googles}",
        f"--proto_path={ROOT}",
        f"--python_out={tmp_path}",
        f"--pyi_out={tmp_path}",
    ]
    assert protoc.main([*command, str(ROOT / FOLDER / "extproc.proto")]) == 0
    for name in ("extproc_pb2.py", "extproc_pb2.pyi"):
        generated, stored = (folder / FOLDER / name for folder in (tmp_path, ROOT))
        assert generated.read_text() == stored.read_text(), f"{name} differs from extproc.proto: run `make generate`"
