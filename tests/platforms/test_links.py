"""The operator and the command do their work on another platform."""

import os
import subprocess
from pathlib import Path

import pytest

from fips.test_links import test_check_reports_the_cluster, test_operator_is_that_of_the_image
from image.wheels import PLATFORMS
from statefulroute.domain.slots.hashing import slot_of
from support.unpacked_image import CHROOT

__all__ = ["test_check_reports_the_cluster", "test_operator_is_that_of_the_image"]

pytestmark = pytest.mark.usefixtures("statefulroute")

UIDS = [f"user-{number}" for number in range(100)]
PROGRAM = f"""
import platform
from statefulroute.domain.slots.hashing import slot_of
print(platform.machine(), *(slot_of(uid, 1024) for uid in {UIDS}))
"""


def test_users_have_the_same_slots_on_each_platform(image_root: Path) -> None:
    command = [CHROOT, image_root, "/opt/statefulroute/bin/python", "-c", PROGRAM]
    machine, *slots = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert machine == PLATFORMS[os.environ["STATEFULROUTE_PLATFORM"].split("/")[1]].python
    assert slots == [str(slot_of(uid, 1024)) for uid in UIDS]
