"""What an operator needs for each route, of which there may be ten thousand."""

import gc
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime

from statefulroute.domain.keys import RouteKey
from statefulroute.domain.load import LoadReport
from statefulroute.domain.pod import Owner
from unit.controllers.environment import Environment, pod, route, workload

_ROUTES = 200

#: A route with one pod needs 3.9 KB in Python 3.11.
_MAX_BYTES = 4_500


async def test_views_of_routes_with_one_pod_are_small() -> None:
    environment = Environment()
    report = LoadReport(1, 0, datetime.now(UTC))
    keys = [RouteKey("games", f"game{number}") for number in range(_ROUTES)]
    for key in keys:
        owner = Owner("StatefulSet", key.name, f"uid-of-{key.name}")
        environment.informers.stateful_sets.cache.put(workload(1, key.name))
        environment.pods.put(pod(1, name=f"{key.name}-0", owner=owner, load_report=report, node_name="node"))
        environment.informers.routes.cache.put(route(1, key))
    gc.collect()
    tracemalloc.start()
    try:
        assert all((view := environment.route_store.get(key)) is not None and len(view.pods) == 1 for key in keys)
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / _ROUTES < _MAX_BYTES


def test_kopf_imports_no_kubernetes_client() -> None:
    program = """
import sys
from statefulroute.controllers import operator
assert sys.modules.keys().isdisjoint({"kubernetes", "pykube"})
import kubernetes.client
"""
    subprocess.run([sys.executable, "-c", program], check=True)
