"""The short form of `make fuzz`: runs the corpus and some hundred new inputs."""

from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.archives import add, archive_of, read_cases, unpack, write_cases
from fuzz.targets import TARGETS

#: Tokens that most parsers treat specially.
PIECES = [
    b"{",
    b"[",
    b'"',
    b":",
    b",",
    b"\n",
    b"\r",
    b";",
    b"=",
    b"%",
    b".",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"x-",
    b"uid",
]

inputs = st.one_of(st.binary(max_size=512), st.text().map(str.encode), st.lists(st.sampled_from(PIECES)).map(b"".join))


@pytest.mark.parametrize("target", TARGETS)
def test_parser_accepts_or_rejects_any_input(target: str) -> None:
    @settings(max_examples=300, deadline=None)
    @given(inputs)
    def run_target(data: bytes) -> None:
        TARGETS[target](data)

    run_target()


@pytest.mark.parametrize("target", TARGETS)
def test_parser_accepts_or_rejects_the_corpus(target: str) -> None:
    cases = read_cases(archive_of(target))
    assert cases != {}
    for data in cases.values():
        TARGETS[target](data)


def test_only_new_cases_are_added_to_a_corpus(tmp_path: Path) -> None:
    archive, folder = tmp_path / "target.zip", tmp_path / "folder"
    folder.mkdir()
    write_cases(archive, {"b": b"2"})
    before = archive.read_bytes()
    unpack(archive, folder)
    assert add(archive, folder) == 0
    assert archive.read_bytes() == before
    (folder / "a").write_bytes(b"1")
    assert add(archive, folder) == 1
    assert read_cases(archive) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("prefix", [b"[", b'{"a":', b"\n\n\n"])
def test_parser_survives_deep_nesting(target: str, prefix: bytes) -> None:
    TARGETS[target](prefix * 20_000)


@pytest.mark.parametrize("prefix", [b"[", b'{"a":', b'{"sub":'])
@pytest.mark.parametrize("template", ["\n\nBearer e30.{}.c2ln\n\n", "\n\n\n{}\n"])
def test_token_parser_survives_deep_nesting(template: str, prefix: bytes) -> None:
    TARGETS["requests"](template.format(urlsafe_b64encode(prefix * 3_000).decode()).encode())
