"""Where the pages of a version are published."""

import pytest

from docsite.versions import Deployment, plan


@pytest.mark.parametrize("published", [{}, {"main": "main"}])
def test_main_is_the_latest_version_before_there_is_a_release(published: dict[str, str]) -> None:
    assert plan("main", published) == Deployment("main", "main", is_latest=True, source_ref="")


@pytest.mark.parametrize("published", [{"0.1": "0.1.0"}, {"main": "main", "0.1": "0.1.0"}])
def test_main_is_not_the_latest_version_after_a_release(published: dict[str, str]) -> None:
    assert plan("main", published) == Deployment("main", "main", is_latest=False, source_ref="")


@pytest.mark.parametrize(
    "published", [{}, {"main": "main"}, {"main": "main", "1.9": "1.9.5"}, {"1.9": "1.9.5", "1.10": "1.10.2"}]
)
def test_release_is_the_latest_version_and_replaces_its_older_patches(published: dict[str, str]) -> None:
    assert plan("1.10.3", published) == Deployment("1.10", "1.10.3", is_latest=True, source_ref="v1.10.3")


@pytest.mark.parametrize(
    "published", [{"1.9": "1.9.3", "1.10": "1.10.5"}, {"1.10": "1.10.0"}, {"2.0": "2.0.0", "1.9": "1.9.3"}]
)
def test_patch_of_an_earlier_minor_version_is_not_the_latest_version(published: dict[str, str]) -> None:
    assert plan("1.9.4", published) == Deployment("1.9", "1.9.4", is_latest=False, source_ref="v1.9.4")


def test_release_is_published_again_but_never_over_a_later_patch_version() -> None:
    again = Deployment("1.9", "1.9.4", is_latest=True, source_ref="v1.9.4")
    assert plan("1.9.4", {"1.9": "1.9.4"}) == again
    assert plan("1.9.4", {"1.9": "1.9.10"}) is None
