"""Asks the package index which of the image's packages it has no wheels of, for each platform of the image."""

import subprocess
from pathlib import Path

import pytest

from chart.releases import ROOT
from image.wheels import PLATFORMS, Platform, Variant, locked, packages_to_compile

#: The version of glibc in Debian's release that the image has.
GLIBC = 41
REQUIREMENTS = locked((ROOT / "requirements/image.txt").read_text(encoding="utf-8"))


def refusal(environment: Path, platform: Platform, requirements: Path) -> str:
    """Returns why pip cannot install requirements from wheels on a platform; empty: it can."""
    tags = [*(f"manylinux_2_{glibc}_{platform.python}" for glibc in range(17, GLIBC + 1)), f"linux_{platform.python}"]
    tags.append(f"manylinux2014_{platform.python}")
    command = [environment / "bin/python", "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--target=unused",
        f"--requirement={requirements}",
    ]
    python = ["--implementation=cp", "--python-version=3.13", "--abi=cp313", "--abi=abi3", "--abi=none"]
    done = subprocess.run(
        [*command, *options, *python, *(f"--platform={tag}" for tag in tags)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize("architecture", PLATFORMS)
def test_the_index_has_wheels_of_all_packages_but_the_compiled(
    environment: Path, tmp_path: Path, architecture: str
) -> None:
    platform = PLATFORMS[architecture]
    compiled = packages_to_compile(platform, Variant.STANDARD)
    others = tmp_path / "others.txt"
    others.write_text("".join(lines for name, lines in REQUIREMENTS.items() if name not in compiled), encoding="utf-8")
    assert refusal(environment, platform, others) == ""
    for name in compiled:
        one = tmp_path / f"{name}.txt"
        one.write_text(REQUIREMENTS[name], encoding="utf-8")
        assert "No matching distribution found" in refusal(environment, platform, one), f"{name} has a wheel now"
