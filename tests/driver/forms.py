"""The forms of the server driver that the tests of the contract run, each with a pod of its own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from pykube.objects import Pod

from driver.driver_factory import NO_REPORT, REPORT_FIELDS
from driver.recording import RecordingLogger
from driver.subjects import AsyncSubject, SidecarSubject, Subject, SyncSubject
from localcluster import LocalCluster
from statefulroute import Configuration, ServerDriver, sync
from support.independent_client import PodLink
from support.service import Service
from support.sidecar_process import SidecarProcess

#: The timers do not run during a test.
STEADY = Configuration(drain_seconds=0, state_period_seconds=3600, workload_period_seconds=3600)
STEADY_OPTIONS = ("--drain-seconds=0", "--state-period-seconds=3600", "--workload-period-seconds=3600")

#: The pod of each form: each reports on its own pod.
PODS = {"asynchronous": 0, "blocking": 1, "sidecar": 2}


@dataclass(frozen=True, slots=True)
class Form:
    """A form of the driver.

    Attributes:
        subject: its methods.
        pod: its pod.
        service: its service.
    """

    subject: Subject
    pod: int
    service: Service

    async def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        return await self.subject.call(method, *arguments, **options)

    def read_pod(self, index: int) -> dict[str, Any]:
        """Returns a pod as it is now."""
        return self.service.client.get(Pod, self.service.pod_name(index), self.service.namespace)

    async def published(self) -> dict[str, str]:
        """Returns the report in the pod's annotations, by field."""
        pod = await asyncio.to_thread(self.read_pod, self.pod)
        names = {f"statefulroute.io/{each}": each for each in REPORT_FIELDS}
        annotations = pod["metadata"].get("annotations", {})
        return {names[name]: value for name, value in annotations.items() if name in names}

    async def spec(self, uid: str) -> dict[str, Any]:
        return (await asyncio.to_thread(self.service.get, f"game.{uid}"))["spec"]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PODS)
async def form(
    request: pytest.FixtureRequest, cluster: LocalCluster, shared_service: Service, tmp_path_factory: Any
) -> AsyncIterator[Form]:
    """The running driver of a pod, in one of its forms."""
    name: str = request.param
    index, here = PODS[name], shared_service.namespace
    pod = shared_service.pod_name(index)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KUBECONFIG", str(cluster.kubeconfig))
        environment.setenv("POD_NAME", pod)
        environment.setenv("POD_NAMESPACE", here)
        for variable in ("STATEFULROUTE_NAME", "KUBERNETES_SERVICE_HOST"):
            environment.delenv(variable, raising=False)
        options: dict[str, Any] = {"configuration": STEADY, "logger": RecordingLogger(), "follow_users": True}
        if name == "asynchronous":
            async with ServerDriver.from_environment(**options) as driver:
                yield Form(AsyncSubject(driver, here), index, shared_service)
        elif name == "blocking":
            blocking = await asyncio.to_thread(lambda: sync.ServerDriver.from_environment(**options).__enter__())
            yield Form(SyncSubject(blocking, here), index, shared_service)
            await asyncio.to_thread(blocking.__exit__)
        else:
            log = Path(tmp_path_factory.mktemp("sidecar")) / "log"
            process = SidecarProcess(cluster.kubeconfig, log, here, pod, *STEADY_OPTIONS)
            await asyncio.to_thread(process.start)
            async with aiohttp.ClientSession() as session:
                yield Form(SidecarSubject(session, process.url), index, shared_service)
            await asyncio.to_thread(process.stop)
            assert process.errors() == []
    await asyncio.to_thread(shared_service.annotate, index, NO_REPORT)
    await asyncio.to_thread(shared_service.client.delete_all, PodLink, here)
