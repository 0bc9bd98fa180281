"""A real API server accepts the policies of deploy/hardening with the definitions of Kyverno and policy-controller.

Neither runs: the image is in no registry yet, so there is no signature to verify.
"""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import LocalClusterError
from localcluster.modules import download_modules
from localcluster.progress import PlainProgress
from support.kubectl import Kubectl
from support.waiting import eventually

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "deploy/hardening"

_KYVERNO, _SIGSTORE = "github.com/kyverno/kyverno", "github.com/sigstore/policy-controller"
_CRDS = {
    _KYVERNO: "config/crds/policies.kyverno.io/policies.kyverno.io_imagevalidatingpolicies.yaml",
    _SIGSTORE: "config/300-clusterimagepolicy.yaml",
}


@pytest.fixture(scope="module")
def kinds(installed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The kinds of both policies are installed, without the webhook that converts one of them."""
    try:
        folders = download_modules([*_CRDS], ROOT / "tools/signaturepolicies", PlainProgress())
    except LocalClusterError as error:
        pytest.skip(f"the definitions of Kyverno and policy-controller are not available: {error}")
    definitions = [yaml.safe_load((folders[name] / path).read_text(encoding="utf-8")) for name, path in _CRDS.items()]
    for definition in definitions:
        definition["spec"].pop("conversion", None)
    file = tmp_path_factory.mktemp("definitions") / "crds.yaml"
    file.write_text(yaml.safe_dump_all(definitions), encoding="utf-8")
    installed.run("apply", "--server-side", "--filename", str(file)).expect_success()
    names = "imagevalidatingpolicies,clusterimagepolicies"
    eventually(lambda: not installed.run("get", names).code, "they can be listed")
    yield
    installed.run("delete", "--wait=false", "--filename", str(file)).expect_success()


def policy(name: str) -> dict[str, Any]:
    item: dict[str, Any] = yaml.safe_load((POLICIES / name).read_text(encoding="utf-8"))
    return item


def identity(name: str) -> dict[str, str]:
    """Returns the one identity that a policy accepts."""
    spec = policy(name)["spec"]
    (authority,) = spec.get("authorities") or [attestor["cosign"] for attestor in spec["attestors"]]
    (accepted,) = authority["keyless"]["identities"]
    return dict(accepted)


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("name", ["kyverno.yaml", "policy-controller.yaml"])
def test_policy_is_valid_and_a_misspelt_field_is_not(installed: Kubectl, name: str) -> None:
    installed.dry_run(policy(name)).expect_success()
    misspelt = copy.deepcopy(policy(name))
    field = "attestors" if "attestors" in misspelt["spec"] else "authorities"
    misspelt["spec"][field][0]["keylessly"] = {}
    assert "keylessly" in installed.dry_run(misspelt).stderr


@pytest.mark.parametrize("name", ["kyverno.yaml", "policy-controller.yaml"])
def test_policy_accepts_what_the_guide_verifies_and_nothing_like_it(name: str) -> None:
    guide = (ROOT / "docs/guides/verify-a-release.md").read_text(encoding="utf-8")
    (subject,) = set(re.findall(r"--certificate-identity (\S+)", guide))
    (issuer,) = set(re.findall(r"--certificate-oidc-issuer (\S+)", guide))
    assert (ROOT / subject.partition("/statefulroute/statefulroute/")[2].partition("@")[0]).exists()
    accepted = identity(name)
    assert accepted["issuer"] == issuer
    assert re.search(accepted["subjectRegExp"], subject)
    for other in (
        subject.replace("refs/tags/v", "refs/heads/"),
        subject.replace("release.yaml", "ci.yaml"),
        subject.replace("statefulroute/statefulroute", "someone/statefulroute"),
        f"https://example.com/{subject}",
        f"{subject}-rc.1",
    ):
        assert not re.search(accepted["subjectRegExp"], other), other
