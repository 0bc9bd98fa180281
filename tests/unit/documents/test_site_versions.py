"""Where the pages of a version are published."""

import pytest

from docsite.versions import Deployment, plan


@pytest.mark.parametrize("published", [set(), {"main"}])
def test_main_is_the_latest_version_before_there_is_a_release(published: set[str]) -> None:
    assert plan("main", published) == Deployment("main", "main", is_latest=True, source_ref="")


@pytest.mark.parametrize("published", [{"0.1"}, {"main", "0.1"}])
def test_main_is_not_the_latest_version_after_a_release(published: set[str]) -> None:
    assert plan("main", published) == Deployment("main", "main", is_latest=False, source_ref="")


@pytest.mark.parametrize("published", [set(), {"main"}, {"main", "1.9"}, {"main", "1.9", "1.10"}])
def test_release_is_the_latest_version_and_replaces_its_older_patches(published: set[str]) -> None:
    assert plan("1.10.3", published) == Deployment("1.10", "1.10.3", is_latest=True, source_ref="v1.10.3")


@pytest.mark.parametrize("published", [{"main", "1.9", "1.10"}, {"1.10"}, {"2.0", "1.9"}])
def test_patch_of_an_earlier_minor_version_is_not_the_latest_version(published: set[str]) -> None:
    assert plan("1.9.4", published) == Deployment("1.9", "1.9.4", is_latest=False, source_ref="v1.9.4")
