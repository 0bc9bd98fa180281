"""The short form of `make fuzz`: what was found once is tried each time, and some hundred new inputs besides."""

from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.archives import add, archive_of, read_cases, unpack, write_cases
from fuzz.targets import TARGETS

#: What most parsers are written in.
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
def test_whatever_a_parser_is_given_it_reads_or_refuses(target: str) -> None:
    @settings(max_examples=300, deadline=None)
    @given(inputs)
    def feed(data: bytes) -> None:
        TARGETS[target](data)

    feed()


@pytest.mark.parametrize("target", TARGETS)
def test_what_has_led_somewhere_once_is_read_or_refused(target: str) -> None:
    kept = read_cases(archive_of(target))
    assert kept != {}
    for data in kept.values():
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
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b"\n\n\n"])
def test_brackets_without_end_end_nothing(target: str, opening: bytes) -> None:
    TARGETS[target](opening * 20_000)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"sub":'])
@pytest.mark.parametrize("place", ["\n\nBearer e30.{}.c2ln\n\n", "\n\n\n{}\n"])
def test_nor_do_they_in_a_token(place: str, opening: bytes) -> None:
    TARGETS["requests"](place.format(urlsafe_b64encode(opening * 3_000).decode()).encode())
