"""Builds the images of the tests from the project's Dockerfiles."""

import tomllib
from pathlib import Path

from localcluster import images
from localcluster.images import Builder, ImageBuild
from localcluster.progress import Progress
from localgateways.programs import envoy

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

OURS, CHAT, SANDBOX, ENVOY = f"statefulroute:{VERSION}", "chat:1", "sandbox:1", "envoy:1"


def build_images(folder: Path, progress: Progress) -> list[Path]:
    """Builds the operator's image, those of the examples and Envoy's; returns their archives."""
    base = images.debian_base(Builder.BUILDAH, progress)
    wanted = (
        ImageBuild(ROOT, ROOT / "Dockerfile", OURS, {"BASE_IMAGE": base, "VERSION": VERSION}),
        ImageBuild(ROOT, ROOT / "examples/chat/Dockerfile", CHAT),
        ImageBuild(ROOT, ROOT / "examples/sandbox/Dockerfile", SANDBOX, {"BASE_IMAGE": base}),
        ImageBuild(envoy(progress).parent, ROOT / "tests/node/envoy/Dockerfile", ENVOY, {"BASE_IMAGE": base}),
    )
    archives = []
    for each in wanted:
        images.build(Builder.BUILDAH, each, progress)
        archives.append(folder / f"{each.tag.partition(':')[0]}.tar")
        images.save(Builder.BUILDAH, each.tag, archives[-1])
    return archives
