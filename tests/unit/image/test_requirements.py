"""What is in the image is what is tested."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def pinned(file: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / "requirements" / file).read_text(encoding="utf-8")))


def test_the_image_has_the_versions_that_the_tests_run_with() -> None:
    image = pinned("image.txt")
    assert {"grpcio", "kopf", "kubernetes", "opentelemetry-sdk"} <= image.keys()
    assert image.items() <= pinned("dev.txt").items()


def test_the_image_is_built_by_the_locked_installer() -> None:
    assert pinned("uv.txt").items() <= pinned("image-build.txt").items()


def test_the_chat_is_built_on_the_image_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    dockerfile = (ROOT / "examples/chat/Dockerfile").read_text(encoding="utf-8")
    assert f"ARG STATEFULROUTE_IMAGE=statefulroute:{version}\n" in dockerfile
