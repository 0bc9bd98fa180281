"""What is in the image is what is tested, and the lower bounds of the requirements are tested, too."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
LOWER_BOUND = re.compile(r"^([a-z0-9-]+)>=([0-9.]+)")


def pinned(file: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / "requirements" / file).read_text(encoding="utf-8")))


def test_the_image_has_the_versions_that_the_tests_run_with() -> None:
    image = pinned("image.txt")
    assert {"grpcio", "kopf", "kubernetes", "opentelemetry-sdk"} <= image.keys()
    assert image.items() <= pinned("dev.txt").items()


def test_the_image_is_built_by_the_locked_installer() -> None:
    assert pinned("uv.txt").items() <= pinned("image-build.txt").items()


def test_what_is_shipped_is_audited() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (audited,) = re.findall(r"^audit:.*\n.*\n\t\t\$\(addprefix -r requirements/,(.+)\)$", makefile, re.MULTILINE)
    dockerfiles = [ROOT / "Dockerfile", *(ROOT / "examples").glob("*/Dockerfile")]
    copied = {
        name
        for file in dockerfiles
        for name in re.findall(r"^COPY requirements/(\S+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"image.txt", "image-build.txt", "mcp.txt"} <= copied
    assert copied | {"dev.txt", "plugin.txt", "docs.txt"} == set(audited.split())


def test_the_chat_is_built_on_the_image_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    dockerfile = (ROOT / "examples/chat/Dockerfile").read_text(encoding="utf-8")
    assert f"ARG STATEFULROUTE_IMAGE=statefulroute:{version}\n" in dockerfile


def arguments_of(dockerfile: str) -> dict[str, str]:
    """Returns the default values of a Dockerfile's arguments."""
    content = (ROOT / dockerfile).read_text(encoding="utf-8")
    return dict(re.findall(r"^ARG ([A-Z_]+)=(\S+)$", content, re.MULTILINE))


def test_the_sandbox_has_the_drivers_of_the_image_of_this_version_on_the_same_python() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    sandbox = arguments_of("examples/sandbox/Dockerfile")
    assert sandbox["STATEFULROUTE_IMAGE"] == f"statefulroute:{version}"
    assert sandbox["BASE_IMAGE"] == arguments_of("Dockerfile")["BASE_IMAGE"]


def lower_bounds() -> set[tuple[str, str]]:
    """Returns the packages that the library, its extras and the tests require, each with a lowest allowed version."""
    main, tools = (
        tomllib.loads((ROOT / file).read_text(encoding="utf-8")) for file in ("pyproject.toml", "tools/pyproject.toml")
    )
    requirements = [
        *main["project"]["dependencies"],
        *(each for extra in main["project"]["optional-dependencies"].values() for each in extra),
        *main["dependency-groups"]["test"],
        *tools["project"]["dependencies"],
    ]
    return {(bound[1], bound[2]) for bound in map(LOWER_BOUND.match, requirements) if bound is not None}


def test_every_lower_bound_is_the_version_that_is_tested() -> None:
    lowest, bounds = pinned("lowest.txt"), lower_bounds()
    assert {"aiohttp", "msgspec", "uvloop", "pytest", "cryptography"} <= {name for name, _ in bounds}
    # The first release of a series may have a longer number: 0.23.1 of 0.23.
    untested = {(name, bound) for name, bound in bounds if not f"{lowest[name]}.".startswith(f"{bound}.")}
    assert untested == set()
