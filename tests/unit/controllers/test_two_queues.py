"""Two queues may reconcile a link at the same time: its route was created or replaced while the link was written."""

import pytest
from structlog.testing import capture_logs

from statefulroute.cluster.errors import APIError
from statefulroute.domain.link import Link, LinkStatus
from unit.controllers.environment import GAME, Environment, idle, link, route, running_route


async def replace_queue(environment: Environment) -> None:
    """Ends the queue of the route, whose links in progress it finishes, and starts another one."""
    environment.controller.remove_route(GAME)
    environment.controller.add_route(GAME)
    await idle()


async def test_route_that_appears_while_a_link_is_written_as_one_without_a_route() -> None:
    environment = Environment()
    environment.links.put(link(30))
    environment.writer.unblocked.clear()
    with capture_logs() as logs:
        environment.controller.start()
        await idle()
        environment.with_pods(0)
        environment.controller.add_route(GAME)
        await idle()
        environment.writer.unblocked.set()
        await idle()
        await environment.controller.stop()
    assert environment.reason_of("alice") == "Bound"
    assert "error" not in {line["log_level"] for line in logs}


async def test_link_is_counted_once_after_two_bindings_at_the_same_time() -> None:
    environment = Environment().with_pods(0, 1)
    async with running_route(environment):
        environment.writer.unblocked.clear()
        environment.links.put(link(30))
        await idle()
        await replace_queue(environment)
        assert environment.writer.in_flight == 2
        environment.writer.unblocked.set()
        await idle()
    assert sum(environment.counts.of(GAME).values()) == 1


async def test_link_that_the_former_queue_has_only_chosen_a_pod_for_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment().with_pods(0)
    environment.routes.put(route(20, spec={"placement": {"maxLinksPerPod": 1}}))
    async with running_route(environment):
        environment.links.put(link(30, user="bob", pod=0))
        environment.links.put(link(31))
        await idle()
        assert environment.reason_of("alice") == "AtCapacity"
        environment.writer.unblocked.clear()
        environment.links.delete(GAME, "game.bob", 40)
        await idle()
        await replace_queue(environment)  # the pod is full again, as the status says
        assert environment.writer.in_flight == 1
        failures = [APIError(500, "InternalError", "etcd has no leader")]
        write = environment.writer.update_status

        async def update_status(link: Link, status: LinkStatus, *_: object) -> str:
            if failures:
                raise failures.pop()
            return await write(link, status)

        monkeypatch.setattr(environment.writer, "update_status", update_status)
        environment.writer.unblocked.set()
        await idle()
        assert not failures
        assert environment.reason_of("alice") == "Bound"
