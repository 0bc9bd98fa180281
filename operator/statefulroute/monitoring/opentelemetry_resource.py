"""The process that sends signals, as OpenTelemetry describes it."""

import socket
from importlib.metadata import version

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.util.types import AttributeValue

from statefulroute.cluster.service_account import SERVICE_ACCOUNT_DIRECTORY, is_in_cluster


def make_resource(program: str) -> Resource:
    """Returns the resource of this process; the attributes in the environment take precedence.

    Args:
        program: the kind of the process, such as `operator`.
    """
    attributes: dict[str, AttributeValue] = {
        SERVICE_NAME: f"statefulroute-{program}",
        SERVICE_VERSION: version("statefulroute"),
    }
    own = Resource({**attributes, **(_pod_attributes() if is_in_cluster() else {})})
    return Resource.create().merge(own).merge(OTELResourceDetector().detect())


def _pod_attributes() -> dict[str, AttributeValue]:
    """Returns the attributes of the pod, whose name is that of its host unless it uses that of its node."""
    pod, file = socket.gethostname(), SERVICE_ACCOUNT_DIRECTORY / "namespace"
    attributes: dict[str, AttributeValue] = {"k8s.pod.name": pod, "service.instance.id": pod}
    if file.exists():
        namespace = file.read_text(encoding="utf-8").strip()
        attributes |= {"k8s.namespace.name": namespace, "service.instance.id": f"{namespace}.{pod}"}
    return attributes
