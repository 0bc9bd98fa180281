"""Which releases get fixes of vulnerabilities: docs/reference/versions.md states the rule."""

from datetime import date

import pytest

from release.supported import supported_releases

FIRST = date(2027, 1, 1)


@pytest.mark.parametrize(
    ("releases", "today", "supported"),
    [
        ({}, FIRST, []),
        ({"v0.2.0": FIRST}, date(2030, 1, 1), ["0.2.0"]),
        ({"v0.2.0": FIRST, "v0.2.10": date(2027, 2, 1), "v0.2.9": date(2027, 3, 1)}, FIRST, ["0.2.10"]),
        # Until two later minor versions are there, a version is supported however old it is.
        ({"v0.2.0": FIRST, "v0.3.0": FIRST}, date(2030, 1, 1), ["0.3.0", "0.2.0"]),
        ({"v0.2.0": FIRST, "v0.3.0": FIRST, "v0.10.0": FIRST}, date(2028, 1, 1), ["0.10.0", "0.3.0", "0.2.0"]),
        ({"v0.2.0": FIRST, "v0.3.0": FIRST, "v0.10.0": FIRST}, date(2028, 2, 1), ["0.10.0", "0.3.0"]),
        # The twelve months begin with the minor version, not with its newest patch version.
        (
            {"v0.2.0": FIRST, "v0.2.1": date(2028, 1, 20), "v0.3.0": FIRST, "v0.4.0": FIRST},
            date(2028, 2, 1),
            ["0.4.0", "0.3.0"],
        ),
        ({"v0.9.0": FIRST, "v1.0.0": FIRST, "v1.1.0-rc.1": FIRST, "other": FIRST}, FIRST, ["1.0.0", "0.9.0"]),
    ],
)
def test_supported_releases(releases: dict[str, date], today: date, supported: list[str]) -> None:
    assert supported_releases(releases, today) == supported
