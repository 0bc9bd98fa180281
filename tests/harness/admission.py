"""A cluster without its admission policy, as one that was set up in the wrong order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pykube.exceptions import HTTPError

from harness.kubectl import Kubectl
from harness.objects import pod_link
from harness.patience import eventually
from harness.service import Service
from statefulroute.api.vocabulary import ONLY_LOCAL_NAMESPACE

ADMISSION = Path(__file__).parents[2] / "deploy" / "admission"


@contextmanager
def unguarded(game: Service, kubectl: Kubectl) -> Iterator[None]:
    """No admission policy for as long as the context lasts."""
    kubectl.run("delete", "validatingadmissionpolicybinding", "--all").expect_success()
    try:
        yield
    finally:
        kubectl.run("apply", "--filename", str(ADMISSION)).expect_success()
        stranger = pod_link(uid="stranger", namespace="kube-system")
        eventually(
            lambda: ONLY_LOCAL_NAMESPACE in game.kubectl.try_out(stranger).stderr, "the policy is in force again"
        )


def slips_in(game: Service, link: dict[str, object]) -> bool:
    """Whether the API server takes the link now."""
    try:
        game.witness.create(link, game.namespace)
    except HTTPError as refusal:
        assert ONLY_LOCAL_NAMESPACE in str(refusal)  # noqa: PT017 - any other refusal is a failure
        return False
    return True
