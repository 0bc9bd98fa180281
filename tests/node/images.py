"""The images that the tests run, built from the project's own Dockerfiles."""

import tomllib
from pathlib import Path

from localcluster import images
from localcluster.images import Build, Builder
from localcluster.progress import Progress

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

OURS, CHAT = f"statefulroute:{VERSION}", "chat:1"


def build_images(folder: Path, progress: Progress) -> list[Path]:
    """Build the image and the chat's, and write them into archives, whose files are given."""
    base = images.debian_base(Builder.BUILDAH, progress)
    wanted = (
        Build(ROOT, ROOT / "Dockerfile", OURS, {"BASE_IMAGE": base, "VERSION": VERSION}),
        Build(ROOT, ROOT / "examples/chat/Dockerfile", CHAT),
    )
    archives = []
    for each in wanted:
        images.build(Builder.BUILDAH, each, progress)
        archives.append(folder / f"{each.tag.partition(':')[0]}.tar")
        images.save(Builder.BUILDAH, each.tag, archives[-1])
    return archives
