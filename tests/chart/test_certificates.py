"""Tests the Certificates that the chart creates for cert-manager."""

from typing import Any

import pytest

from chart.kinds import documents, pod_specs
from chart.releases import Helm
from chart.samples import nested

#: The name of each Certificate, with the values that create it.
CERTIFICATES = {
    "statefulroute-metrics-tls": "metrics.tls.certificate",
    "statefulroute-resolver-tls": "resolver.tls.certificate",
}

BOTH: dict[str, Any] = {"resolver.enabled": True, **{f"{values}.create": True for values in CERTIFICATES.values()}}

Objects = dict[tuple[str, str], dict[str, Any]]


def rendered(helm: Helm, values: dict[str, Any]) -> Objects:
    """Renders the objects by kind and name."""
    text = helm.render(nested(values), "--namespace=play").expect_success().stdout
    return {(item["kind"], item["metadata"]["name"]): item for item in documents(text)}


def certificates(items: Objects) -> dict[str, dict[str, Any]]:
    """Returns the specs of the Certificates of servers by name."""
    found = {name: item["spec"] for (kind, name), item in items.items() if kind == "Certificate"}
    return {name: spec for name, spec in found.items() if not spec.get("isCA")}


def names_of(service: str) -> set[str]:
    """Returns the DNS names of a Service."""
    return {f"{service}{rest}" for rest in ("", ".play", ".play.svc", ".play.svc.cluster.local")}


def test_chart_creates_none_by_default(helm4: Helm) -> None:
    items = rendered(helm4, {"resolver.enabled": True, "metrics.tls.secretName": "a", "resolver.tls.secretName": "b"})
    assert not [item for item in items.values() if item["apiVersion"].startswith("cert-manager.io/")]


def test_nothing_serves_tls_without_the_name_of_a_secret(helm4: Helm) -> None:
    removed = {"resolver.enabled": True, "metrics.tls.secretName": None, "resolver.tls.secretName": None}
    assert rendered(helm4, removed) == rendered(helm4, {"resolver.enabled": True})


@pytest.mark.parametrize("created", CERTIFICATES)
def test_each_certificate_can_be_created_alone(helm4: Helm, created: str) -> None:
    items = rendered(helm4, {"resolver.enabled": True, f"{CERTIFICATES[created]}.create": True})
    assert certificates(items).keys() == {created}
    assert ("Issuer", "statefulroute-ca") in items
    without = rendered(helm4, {**BOTH, "resolver.enabled": False})
    assert certificates(without).keys() == {"statefulroute-metrics-tls"}
    only_resolver = rendered(helm4, {"resolver.tls.certificate.create": True})
    assert not [key for key in only_resolver if key[0] in {"Issuer", "Certificate"}]


def test_pods_mount_the_secrets_of_the_certificates(helm4: Helm) -> None:
    items = rendered(helm4, BOTH)
    secrets = {name: spec["secretName"] for name, spec in certificates(items).items()}
    assert len(secrets) == 2

    def mounted(spec: dict[str, Any]) -> set[str]:
        return {volume["secret"]["secretName"] for volume in spec.get("volumes", []) if "secret" in volume}

    pods = {spec["containers"][0]["name"]: mounted(spec) for spec in pod_specs([*items.values()])}
    assert pods == {
        "operator": {secrets["statefulroute-metrics-tls"]},
        "resolver": set(secrets.values()),
        "release": set(),
        "unlink": {secrets["statefulroute-resolver-tls"]},
    }
    (resolver,) = items["Deployment", "statefulroute-resolver"]["spec"]["template"]["spec"]["containers"]
    assert {"--tls-certificate=/tls/tls.crt", "--metrics-tls-certificate=/metrics-tls/tls.crt"} < {*resolver["args"]}


def test_certificates_have_the_names_by_which_clients_reach_the_services(helm4: Helm) -> None:
    more = {f"{values}.dnsNames": ["sticky.example.com"] for values in CERTIFICATES.values()}
    items = rendered(helm4, {**BOTH, **more, "serviceMonitor.enabled": True})
    specs = certificates(items)
    names = {name: set(spec["dnsNames"]) for name, spec in specs.items()}
    assert names == {
        "statefulroute-metrics-tls": names_of("statefulroute-metrics")
        | names_of("statefulroute-resolver-metrics")
        | {"sticky.example.com"},
        "statefulroute-resolver-tls": names_of("statefulroute-resolver") | {"sticky.example.com"},
    }
    for component in ("operator", "resolver"):
        (endpoint,) = items["ServiceMonitor", f"statefulroute-{component}"]["spec"]["endpoints"]
        assert endpoint["tlsConfig"]["serverName"] in names["statefulroute-metrics-tls"]
        trusted = endpoint["tlsConfig"]["ca"]["secret"]
        assert trusted == {"name": specs["statefulroute-metrics-tls"]["secretName"], "key": "ca.crt"}
    look_up = items["Pod", "statefulroute-test"]["spec"]["initContainers"][1]["args"][0]
    assert look_up.split("/")[2].partition(":")[0] in names["statefulroute-resolver-tls"]
    assert look_up.startswith("https:")


def test_without_an_issuer_the_release_has_an_authority_of_its_own(helm4: Helm) -> None:
    items = rendered(helm4, BOTH)
    issuers = {spec["issuerRef"]["name"] for spec in certificates(items).values()}
    (name,) = issuers
    secret = items["Issuer", name]["spec"]["ca"]["secretName"]
    (authority,) = (
        item["spec"] for (kind, _), item in items.items() if kind == "Certificate" and item["spec"].get("isCA")
    )
    assert authority["secretName"] == secret
    assert authority["privateKey"]["rotationPolicy"] == "Never", "its certificates would not be valid after a renewal"
    assert items["Issuer", authority["issuerRef"]["name"]]["spec"] == {"selfSigned": {}}


def test_certificates_have_the_issuer_and_the_settings_of_the_values(helm4: Helm) -> None:
    issuer = {"name": "platform", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    settings: dict[str, Any] = {
        "duration": "2160h",
        "renewBefore": "360h",
        "privateKey": {"algorithm": "ECDSA", "size": 256},
        "secretTemplate": {"labels": {"team": "games"}},
    }
    for values in CERTIFICATES.values():
        own = {f"{values}.{name}": value for name, value in {"issuerRef": issuer, **settings}.items()}
        items = rendered(helm4, BOTH | own)
        name = next(name for name, each in CERTIFICATES.items() if each == values)
        specs = certificates(items)
        assert specs[name].items() >= {"issuerRef": issuer, **settings}.items()
        (other,) = (spec for each, spec in specs.items() if each != name)
        assert not settings.keys() & other.keys()
    both = {f"{values}.issuerRef.name": "platform" for values in CERTIFICATES.values()}
    assert ("Issuer", "statefulroute-ca") not in rendered(helm4, BOTH | both)


@pytest.mark.parametrize("verifies", [True, False])
def test_certificate_is_valid_for_clients_only_if_helm_test_has_to_present_it(helm4: Helm, verifies: bool) -> None:
    specs = certificates(rendered(helm4, {**BOTH, "resolver.tls.clientCertificates": verifies}))
    assert ("client auth" in specs["statefulroute-resolver-tls"]["usages"]) is verifies
    assert "client auth" not in specs["statefulroute-metrics-tls"]["usages"]
    assert all("server auth" in spec["usages"] for spec in specs.values())


def test_certificates_satisfy_what_needs_tls(helm4: Helm) -> None:
    needs = {"metrics.authentication": True, "resolver.tls.clientCertificates": True}
    rendered(helm4, BOTH | needs)
    result = helm4.render(nested({"resolver.enabled": True} | needs))
    assert "set metrics.tls.secretName or metrics.tls.certificate.create, too" in result.stderr
