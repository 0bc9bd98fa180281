"""Decodes StatefulSets."""

from collections.abc import Mapping

from statefulroute.api.annotations import WORKLOAD_LOAD, WORKLOAD_STATE
from statefulroute.cluster.codec.objects import EMPTY, CamelStruct, Metadata, shared_string
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.label_selector import LabelSelector
from statefulroute.domain.workload import Workload, WorkloadAnnotations


class _Ordinals(CamelStruct):
    start: int = 0


class _UpdateStrategy(CamelStruct):
    type: str = ""


class _StatefulSetStatus(CamelStruct):
    update_revision: str = ""


class _StatefulSetSpec(CamelStruct):
    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    update_strategy: _UpdateStrategy | None = None
    ordinals: _Ordinals | None = None
    service_name: str = ""


class _StatefulSet(CamelStruct, kw_only=True):
    metadata: Metadata
    spec: _StatefulSetSpec
    status: _StatefulSetStatus | None = None


def _make_workload(stateful_set: _StatefulSet) -> Workload:
    return Workload(
        namespace=shared_string(stateful_set.metadata.namespace),
        name=stateful_set.metadata.name,
        resource_version=int(stateful_set.metadata.resource_version),
        uid=stateful_set.metadata.uid,
        replicas=stateful_set.spec.replicas,
        first_index=stateful_set.spec.ordinals.start if stateful_set.spec.ordinals else 0,
        selector_text=_selector_text(stateful_set.spec.selector),
        update_revision=stateful_set.status.update_revision if stateful_set.status else "",
        update_strategy=shared_string(
            stateful_set.spec.update_strategy.type if stateful_set.spec.update_strategy else ""
        ),
        service_name=stateful_set.spec.service_name,
        annotations=parse_workload_annotations(stateful_set.metadata.annotations or EMPTY),
    )


def _selector_text(selector: LabelSelector) -> str:
    """Returns a label selector as `kubectl get -l` takes it; empty if only a later version understands it."""
    try:
        return shared_string(selector.text)
    except ValueError:
        return ""


def parse_workload_annotations(annotations: Mapping[str, str]) -> WorkloadAnnotations:
    """Returns the operator's annotations of a workload."""
    return WorkloadAnnotations(annotations.get(WORKLOAD_STATE), annotations.get(WORKLOAD_LOAD))


STATEFUL_SETS = ResourceType("/apis/apps/v1/statefulsets", _StatefulSet, _make_workload)
