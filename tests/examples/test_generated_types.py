"""Tests that the types of the examples are those of the OpenAPI documents."""

from pathlib import Path

import pytest

from support.chat_programs import APIS, generate_go_types, generate_typescript_types, go_types, typescript_types


@pytest.mark.usefixtures("go")
@pytest.mark.parametrize("api", APIS)
def test_types_for_go_are_generated_from_the_document(tmp_path: Path, api: str) -> None:
    generated = tmp_path / "types.gen.go"
    generate_go_types(api, generated)
    assert generated.read_text(encoding="utf-8") == go_types(api).read_text(encoding="utf-8"), "run `make examples`"


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("api", APIS)
def test_types_for_typescript_are_generated_from_the_document(tmp_path: Path, api: str) -> None:
    generated, present = tmp_path / f"{api}.ts", typescript_types(api)
    generate_typescript_types(api, generated)
    assert generated.read_text(encoding="utf-8") == present.read_text(encoding="utf-8"), "run `make examples`"
