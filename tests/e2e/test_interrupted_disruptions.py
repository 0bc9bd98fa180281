"""The operator is killed between the steps of a scale-down and of a rollout."""

from pykube.objects import StatefulSet

from support.independent_client import PodLink
from support.operator_process import OperatorProcess
from support.service import Service


def test_an_operator_that_is_killed_goes_on_with_what_it_began(own_operator: OperatorProcess, service: Service) -> None:
    service.create_pods(3)
    service.create_route(replicas=3)
    service.await_condition("Scaled", "True", "Scaled")
    links = [service.link(f"user-{pod}", podIndex=pod) for pod in (1, 2)]
    service.await_all_bound(2)
    service.scale_route(1)
    closing = [service.await_closing(pod) for pod in (1, 2)]
    own_operator.kill()
    service.client.delete(PodLink, links[1], service.namespace)
    own_operator.start()
    service.await_status(replicas=2)
    assert service.await_closing(1) == closing[0]
    own_operator.kill()
    service.scale_route(3)
    own_operator.start()
    service.await_condition("Scaled", "True", "Scaled", "the StatefulSet has 3 pods as desired")
    service.await_pod(1, closing=None, routingState="Ready")
    assert service.await_bound(links[0])["podIndex"] == 1


def test_an_operator_that_is_killed_goes_on_with_a_rollout(own_operator: OperatorProcess, service: Service) -> None:
    service.create_pods(2, updateStrategy={"type": "OnDelete"})
    service.create_route(rollout={})
    service.await_condition("RolledOut", "True", "RolledOut")
    links = [service.link(f"user-{pod}", podIndex=pod) for pod in (0, 1)]
    service.await_all_bound(2)
    metadata = {"annotations": {"example.com/version": "2"}}
    service.client.patch(StatefulSet, "game", service.namespace, {"spec": {"template": {"metadata": metadata}}})
    closing = service.await_closing(1, "Rollout")
    own_operator.kill()
    own_operator.start()
    service.await_observed()
    assert service.await_closing(1, "Rollout") == closing
    own_operator.kill()
    service.client.delete(PodLink, links[1], service.namespace)
    own_operator.start()
    service.await_closing(0, "Rollout")
    assert "closing" not in service.pod_status(1)
    assert service.await_bound(links[0])["podIndex"] == 0
