"""The whole system on its own control plane: two operators, a resolver, services, pods and users."""

import os
import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from chaos.clock import ProcessClock
from chaos.load_generator import LoadGenerator, LoadSettings, LoadTarget
from chaos.proxy import FaultProxy
from chaos.record import RecordWriter
from chaos.recorder import StoreRecorder
from chaos.supervised_process import Account, SupervisedProcess
from failover.pair import NAMESPACE, STARTED_LEADING, STOPPED_LEADING, ElectionTimes
from localcluster import LocalCluster
from support.api_user import APIUser
from support.audit import AuditLog
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess
from support.rbac import RBAC_FOLDER
from support.resolver_process import ResolverProcess
from support.service import Service
from support.waiting import eventually

_BASE = Path(__file__).parents[2] / "deploy" / "kustomize"
_NODES = 4
_NAMESPACE = "chaos"
_LEADER_SECONDS = 2.0
_OPERATOR, _RESOLVER = "statefulroute-operator", "statefulroute-resolver"


class ServiceSettings(NamedTuple):
    """The settings of a service.

    Attributes:
        pods: the number of pods.
        users: the number of users.
        grace_seconds: how long a pod may be gone before its links move.
        not_ready_seconds: how long a pod may exist without being Ready before its links move.
        hand_over_seconds: how long a pod may take to hand a user over; None moves users at once.
        slots: the number of slots, which the operator balances; None for none.
    """

    pods: int
    users: int
    grace_seconds: int
    not_ready_seconds: int
    hand_over_seconds: int | None = None
    slots: int | None = None


SERVICES = {
    "game": ServiceSettings(20, 1500, 2, 8, 3),
    "room": ServiceSettings(5, 500, 30, 300),
    "document": ServiceSettings(4, 500, 2, 8, 3, slots=64),
}

#: The maximum pace of the moves of slots that balance pods; the operator's limit of all moves is lower.
_SLOTS_PER_MINUTE = 1200

#: The maximum time for Kubernetes to make pods ready. After the API server was killed, its controllers and kwok
#: sometimes take more than a minute to reconnect.
PODS_SECONDS = 180.0

#: Stores objects as JSON, because the recorder reads the store.
_STORE_FLAG = "--storage-media-type=application/json"


@dataclass(frozen=True, slots=True)
class UserLoad:
    """The load of the users.

    Attributes:
        rate: the operations per second.
        seed: the random seed.
    """

    rate: float
    seed: int


@dataclass(slots=True)
class System:
    """The parts that faults can affect.

    Attributes:
        cluster: the control plane.
        kubectl: an administrator's kubectl in the services' namespace.
        client: an independent client without a proxy.
        services: the services.
        operators: both operators.
        resolver: the resolver.
        driver_proxy: the proxy of the users' driver.
        load: the load.
        recorder: records all versions.
        audit: the API server's audit log of the operators' writes.
        record: the record of the run.
    """

    cluster: LocalCluster
    kubectl: Kubectl
    client: IndependentClient
    services: Sequence[Service]
    operators: Sequence[SupervisedProcess]
    resolver: SupervisedProcess
    driver_proxy: FaultProxy
    load: LoadGenerator
    recorder: StoreRecorder
    audit: AuditLog
    record: RecordWriter

    @property
    def namespace(self) -> str:
        """The namespace of the services."""
        return self.services[0].namespace

    @property
    def processes(self) -> Sequence[SupervisedProcess]:
        """The operators and the resolver."""
        return [*self.operators, self.resolver]

    def leader(self) -> SupervisedProcess:
        """Returns the leader; waits for one briefly, because the API server may be unavailable."""
        with suppress(TimeoutError):
            eventually(lambda: any(map(_is_leader, self.operators)), "an operator leads", seconds=_LEADER_SECONDS)
        return next(filter(_is_leader, self.operators), self.operators[0])

    def standby(self) -> SupervisedProcess:
        """Returns the operator that does not lead."""
        leader = self.leader()
        return next(each for each in self.operators if each is not leader)

    def await_pods(self) -> None:
        """Waits until all pods of each service are ready."""
        for service in self.services:
            wanted = str(SERVICES[service.name].pods)
            shown = "--output=jsonpath={.status.readyReplicas}/{.spec.replicas}/{.status.currentReplicas}"
            eventually(
                lambda name=service.name, wanted=wanted, shown=shown: (  # type: ignore[misc]
                    self.kubectl.run("get", "statefulset", name, shown).stdout.split("/")[:2] == [wanted, wanted]
                ),
                f"all pods of {service.name} are ready",
                seconds=PODS_SECONDS,
            )


def _is_leader(program: SupervisedProcess) -> bool:
    text = program.log_text
    return program.is_running and text.rfind(f'"{STARTED_LEADING}"') > text.rfind(f'"{STOPPED_LEADING}"')


@contextmanager
def running(
    folder: Path, record: RecordWriter, users: UserLoad, *, times: ElectionTimes, starts: int
) -> Iterator[System]:
    """Runs the system for the duration of the context; the load is not started.

    Args:
        folder: the folder of its files.
        record: the record of the run.
        users: the load.
        times: the times of the operators' Lease.
        starts: the approximate number of starts of each process.
    """
    audit = AuditLog(_start_cluster(folder / "audit"), only_writes=True)
    with ExitStack() as stack:
        flags = (*audit.flags, _STORE_FLAG)
        name = f"chaos-{os.getpid()}"
        cluster = stack.enter_context(LocalCluster.start(name=name, nodes=_NODES, apiserver_flags=flags))
        admin = _install(cluster, folder)
        kubectl = admin.within(_NAMESPACE)
        independent_client = IndependentClient(cluster.kubeconfig)
        recorder = StoreRecorder(store_url(cluster), record, str(kubectl.namespace))
        stack.callback(recorder.stop)
        services = [_service(kubectl, independent_client, each) for each in SERVICES]
        port = _reserved_port()
        programs = _Processes(admin, cluster, folder, record, stack, times, starts)
        operators = programs.operators()
        resolver = programs.resolver(port)
        driver = stack.enter_context(FaultProxy(cluster.kubeconfig, folder / "driver", users.seed))
        targets = [
            LoadTarget(name, each.pods, each.users, each.hand_over_seconds, each.slots)
            for name, each in SERVICES.items()
        ]
        place = LoadSettings(
            str(kubectl.namespace), targets, driver.kubeconfig, f"127.0.0.1:{port}", recorder.hand_overs
        )
        load = LoadGenerator(place, record, users.rate, users.seed)
        system = System(
            cluster, kubectl, independent_client, services, operators, resolver, driver, load, recorder, audit, record
        )
        for each in system.processes:
            each.enable()
        for each in system.processes:
            each.process.await_serving()
        for service in services:
            service.await_pods(SERVICES[service.name].pods)
        yield system


def store_url(cluster: LocalCluster) -> str:
    """Returns the URL of a cluster's store."""
    command = Path(f"/proc/{cluster.part('etcd').pid}/cmdline").read_text().split("\0")
    return next(each.partition("=")[2] for each in command if each.startswith("--listen-client-urls="))


def _reserved_port() -> int:
    """Returns a free port that the kernel does not use for outgoing connections while the listener is absent."""
    for port in random.sample(range(20000, 30000), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no port between 20000 and 30000 is free")


def _start_cluster(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _install(cluster: LocalCluster, folder: Path) -> Kubectl:
    """Installs the objects of the chart and the resolver's rights."""
    kubectl = Kubectl(cluster.kubectl, cluster.kubeconfig, folder / "kubectl-cache")
    kubectl.run("apply", "--server-side", "--kustomize", str(_BASE)).expect_success()
    kubectl.run("apply", "--filename", str(RBAC_FOLDER / "resolver.yaml")).expect_success()
    eventually(lambda: not kubectl.run("get", "podlinks,statefulroutes").code, "both kinds can be listed")
    kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}})
    kubectl.within(NAMESPACE).run("rollout", "status", f"deployment/{_OPERATOR}", "--timeout=60s").expect_success()
    return kubectl


def _service(kubectl: Kubectl, independent_client: IndependentClient, name: str) -> Service:
    settings = SERVICES[name]
    service = Service(kubectl, independent_client, name)
    service.create_pods(settings.pods)
    times = {"graceSeconds": settings.grace_seconds, "notReadySeconds": settings.not_ready_seconds}
    hand_over = settings.hand_over_seconds
    more: dict[str, Any] = {} if hand_over is None else {"handOver": {"timeoutSeconds": hand_over}}
    if settings.slots is not None:
        rebalance = {"strategy": "Even", "slotsPerMinute": _SLOTS_PER_MINUTE}
        more |= {"slots": settings.slots, "rebalance": rebalance}
    service.create_route(onPodLost={"action": "Rebind", **times}, **more)
    return service


@dataclass(frozen=True, slots=True)
class _Processes:
    """Creates the processes of the product, each with its own proxy."""

    admin: Kubectl
    cluster: LocalCluster
    folder: Path
    record: RecordWriter
    stack: ExitStack
    times: ElectionTimes
    starts: int

    def operators(self) -> list[SupervisedProcess]:
        """Creates two operators, like the pods of the chart's Deployment."""
        operators = []
        for number, pod in enumerate(self.admin.within(NAMESPACE).get_json("pods")["items"]):
            name, account = f"operator-{number}", Account(self._administrator(), _OPERATOR, pod)
            proxy = self._proxy(name, account)
            process = OperatorProcess(proxy.kubeconfig, self._log(name), "--leader-elect", *self.times.options)
            operators.append(self._process(name, process, proxy, account))
        return operators

    def resolver(self, port: int) -> SupervisedProcess:
        """Creates a resolver with a fixed port for look-ups."""
        kubectl = self.admin.within(NAMESPACE)
        kubectl.run("create", "serviceaccount", _RESOLVER).expect_success()
        account = f"--serviceaccount={NAMESPACE}:{_RESOLVER}"
        kubectl.run("create", "clusterrolebinding", _RESOLVER, f"--clusterrole={_RESOLVER}", account).expect_success()
        account = Account(self._administrator(), _RESOLVER)
        proxy = self._proxy("resolver", account)
        where = ("--http-address", f"127.0.0.1:{port}")
        process = ResolverProcess(proxy.kubeconfig, self._log("resolver"), *where)
        return self._process("resolver", process, proxy, account)

    def _administrator(self) -> APIUser:
        return APIUser.of(self.cluster.kubeconfig, NAMESPACE)

    def _process(self, name: str, process: OperatorProcess, proxy: FaultProxy, account: Account) -> SupervisedProcess:
        program = SupervisedProcess(name, process, proxy, account, self.record, starts=self.starts)
        program.environment.update(ProcessClock(self.folder / name).environment)
        self.stack.callback(program.close)
        return program

    def _proxy(self, name: str, account: Account) -> FaultProxy:
        person = account.administrator.with_token(account.token())
        first = person.write_kubeconfig(_start_cluster(self.folder / name) / "first.kubeconfig")
        return self.stack.enter_context(FaultProxy(first, self.folder / name))

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"
