"""The version of a release is that of its tag, in a form that SemVer and Python know; that of a commit is lower."""

import pytest
from packaging.version import Version

from release.version import VersionError, is_prerelease, published_version

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("version", ["0.1.0", "1.2.3", "10.0.12", "1.2.3-alpha.0", "1.2.3-beta.2", "1.2.3-rc.10"])
def test_tag_of_the_projects_version_is_published(version: str) -> None:
    assert published_version(f"refs/tags/v{version}", COMMIT, version) == version
    assert is_prerelease(version) == Version(version).is_prerelease


@pytest.mark.parametrize(
    "version",
    ["1.2", "1.2.3.4", "01.2.3", "1.2.3rc1", "1.2.3-rc1", "1.2.3-rc.01", "1.2.3-pre.1", "1.2.3-rc.1+build", ""],
)
def test_version_of_another_form_is_refused(version: str) -> None:
    with pytest.raises(VersionError, match=r"has not the form 1\.2\.3 or 1\.2\.3-rc\.1$"):
        published_version(f"refs/tags/v{version}", COMMIT, version)


@pytest.mark.parametrize("ref", ["refs/tags/v1.2.4", "refs/tags/1.2.3", "refs/heads/v1.2.3", "refs/heads/other", ""])
def test_other_refs_are_refused(ref: str) -> None:
    with pytest.raises(VersionError, match=r"tag the commit of that version$"):
        published_version(ref, COMMIT, "1.2.3")


def test_build_of_main_has_a_valid_version_that_is_lower_than_each_release() -> None:
    version = published_version("refs/heads/main", COMMIT, "1.2.3")
    # An identifier of digits alone must not begin with 0; this one does not consist of digits.
    assert version == "0.0.0-main-0123456789ab"
    assert is_prerelease(version)
