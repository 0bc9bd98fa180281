"""Texts are truncated by their size in JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.truncation import truncate


def encoded_size(text: str) -> int:
    """Returns the size of a text that Go's JSON encoder writes."""
    encoded = json.dumps(text, ensure_ascii=False)[1:-1]
    for character in "<>&\u2028\u2029":
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    return len(encoded.encode())


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.text('<"€'), st.integers(3, 60))
def test_truncated_text_fits_and_is_a_beginning(text: str, max_bytes: int) -> None:
    truncated = truncate(text, max_bytes)
    assert encoded_size(truncated) <= max_bytes
    assert truncated == text or text.startswith(truncated.removesuffix("..."))
    assert (truncated == text) == (encoded_size(text) <= max_bytes)


@pytest.mark.parametrize(
    ("text", "expected"), [("short", "short"), ("0123456789", "0123456789"), ("0123456789a", "0123456...")]
)
def test_only_a_text_that_is_too_long_is_truncated(text: str, expected: str) -> None:
    assert truncate(text, 10) == expected
