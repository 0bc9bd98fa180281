"""Which release GitHub shows as the latest."""

import pytest

from release.latest import is_latest


@pytest.mark.parametrize(
    ("version", "tags", "expected"),
    [
        ("0.2.0", [], True),
        ("0.2.0", ["v0.1.0"], True),
        ("0.10.0", ["v0.9.0", "v0.9.1"], True),
        ("0.2.1", ["v0.2.0", "v0.3.0-rc.1"], True),
        ("0.2.1", ["v0.3.0", "v0.2.0"], False),
        ("0.9.1", ["v0.10.0", "v0.9.0"], False),
        ("0.3.0-rc.1", ["v0.2.0"], False),
    ],
)
def test_latest_release_is_the_highest_version_that_is_no_pre_release(
    version: str, tags: list[str], expected: bool
) -> None:
    assert is_latest(version, tags) is expected
