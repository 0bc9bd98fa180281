"""Tests that each missing prerequisite of a real node gives a sentence that says how to fix it."""

import os
from pathlib import Path

import pytest

from localcluster.components import DUAL_STACK_POD_RANGE, IPV6_POD_RANGE, POD_RANGE
from localcluster.node import prerequisites
from localcluster.node.prerequisites import DEBIAN_PACKAGES, PROGRAMS, missing_prerequisites


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretends that the tests run as root."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_other_user_than_root_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert missing_prerequisites() == ["A real node needs root: try again with sudo."]


@pytest.mark.usefixtures("root")
def test_each_missing_program_is_reported_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(prerequisites, "SYSTEM_PATH", ())
    messages = missing_prerequisites()
    for program, package in PROGRAMS.items():
        message = f"There is no {program} on PATH: install it; Debian has it in the package {package}."
        assert message in messages
    (tmp_path / "ctr").touch(mode=0o755)
    assert not [message for message in missing_prerequisites() if "There is no ctr " in message]


@pytest.mark.usefixtures("root")
def test_missing_plugins_are_reported_with_the_searched_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(prerequisites, "PLUGIN_FOLDERS", (tmp_path / "a", tmp_path / "b"))
    (message,) = [each for each in missing_prerequisites() if "plugins" in each]
    assert message == (
        f"CNI's plugins bridge, host-local, loopback are neither in {tmp_path}/a nor in {tmp_path}/b: install them; "
        "Debian's package is containernetworking-plugins."
    )


@pytest.mark.usefixtures("root")
def test_machine_with_only_cgroup_v2_is_referred_to_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    monkeypatch.setattr(prerequisites, "CONTROL_GROUPS", tmp_path)
    (message,) = [each for each in missing_prerequisites() if "ontrol groups" in each]
    assert "version 1 are needed" in message
    assert "use the provider 'kind'" in message


def test_debian_packages_cover_all_programs() -> None:
    assert {*PROGRAMS.values()} - {*DEBIAN_PACKAGES} == {"mount"}  # which every Debian has


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("pod_range", "is_missing"), [(POD_RANGE, False), (IPV6_POD_RANGE, True), (DUAL_STACK_POD_RANGE, True)]
)
def test_only_a_node_with_ipv6_needs_a_kernel_with_it(
    monkeypatch: pytest.MonkeyPatch, pod_range: str, *, is_missing: bool
) -> None:
    monkeypatch.setattr(prerequisites, "_missing_programs", tuple)
    monkeypatch.setattr(prerequisites, "_missing_control_groups", tuple)
    monkeypatch.setattr(prerequisites, "PROBE", "import sys; print(*sys.argv[2::2], sep='\\n')")  # nothing is possible
    message = "The kernel does not allow addresses of IPv6: run it outside of a container, or load the module."
    assert (message in missing_prerequisites(pod_range)) is is_missing
