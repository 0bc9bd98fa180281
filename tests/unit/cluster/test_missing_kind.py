"""The response of an API server without a kind of this project."""

import pytest

from statefulroute.cluster.errors import APIError, KindNotInstalledError, api_error
from statefulroute.cluster.missing_kind import explain_missing_kind

ROOT = "/apis/statefulroute.io/v1alpha1"
NO_GROUP = api_error(404, "", "404 page not found")
NO_KIND = api_error(404, "NotFound", "the server could not find the requested resource")


@pytest.mark.parametrize(
    ("error", "path", "kind"),
    [
        (NO_GROUP, f"{ROOT}/podlinks", "PodLink"),
        (NO_KIND, f"{ROOT}/podlinks", "PodLink"),
        (NO_KIND, f"{ROOT}/namespaces/play/podlinks/game.alice/status", "PodLink"),
        (NO_KIND, f"{ROOT}/namespaces/play/statefulroutes?limit=1", "StatefulRoute"),
    ],
)
def test_a_kind_that_is_not_installed_is_named(error: APIError, path: str, kind: str) -> None:
    explained = explain_missing_kind(error, path)
    assert isinstance(explained, KindNotInstalledError)
    assert explained.message == f"kind {kind} is not installed: kubectl apply -f crds"


@pytest.mark.parametrize(
    ("error", "path"),
    [
        (
            api_error(404, "NotFound", 'podlinks.statefulroute.io "game.alice" not found'),
            f"{ROOT}/namespaces/a/podlinks/b",
        ),
        (api_error(503, "", "no backend"), f"{ROOT}/podlinks"),
        (api_error(404, "", "<html>404 Not Found</html>"), f"{ROOT}/podlinks"),
        (api_error(404, "", "no Route matched with those values"), f"{ROOT}/podlinks"),
        (NO_KIND, "/apis/apps/v1/statefulsets"),
        (NO_KIND, f"{ROOT}/others"),
        (NO_GROUP, "/api/v1/pods"),
    ],
)
def test_other_errors_stay(error: APIError, path: str) -> None:
    assert explain_missing_kind(error, path) is error
