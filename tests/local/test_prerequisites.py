"""What a machine lacks for a real node is told in sentences that say how to put it right."""

import os
from pathlib import Path

import pytest

from localcluster.node import prerequisites
from localcluster.node.prerequisites import DEBIAN_PACKAGES, PROGRAMS, missing_prerequisites


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root, whoever runs the tests."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_whoever_is_not_root_is_told_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert missing_prerequisites() == ["A real node needs root: try again with sudo."]


@pytest.mark.usefixtures("root")
def test_each_program_that_is_missing_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(prerequisites, "SYSTEM_PATH", ())
    told = missing_prerequisites()
    for program, package in PROGRAMS.items():
        sentence = f"There is no {program} on PATH: install it; Debian has it in the package {package}."
        assert sentence in told
    (tmp_path / "ctr").touch(mode=0o755)
    assert not [sentence for sentence in missing_prerequisites() if "There is no ctr " in sentence]


@pytest.mark.usefixtures("root")
def test_plugins_that_are_missing_are_told_with_where_they_were_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(prerequisites, "PLUGIN_FOLDERS", (tmp_path / "a", tmp_path / "b"))
    (sentence,) = [each for each in missing_prerequisites() if "plugins" in each]
    assert sentence == (
        f"CNI's plugins bridge, host-local, loopback are neither in {tmp_path}/a nor in {tmp_path}/b: install them; "
        "Debian's package is containernetworking-plugins."
    )


@pytest.mark.usefixtures("root")
def test_a_machine_with_control_groups_of_version_2_alone_is_sent_to_kind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cgroup.controllers").touch()
    monkeypatch.setattr(prerequisites, "CONTROL_GROUPS", tmp_path)
    (sentence,) = [each for each in missing_prerequisites() if "ontrol groups" in each]
    assert "version 1 are needed" in sentence
    assert "use the provider 'kind'" in sentence


def test_all_that_may_be_missing_comes_with_the_packages() -> None:
    assert {*PROGRAMS.values()} - {*DEBIAN_PACKAGES} == {"mount"}  # which no Debian is without
