"""`operator`: runs the operator."""

import os
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from statefulroute.api.rbac import DEFAULT_LEASE_NAME, DEFAULT_LEASE_NAMESPACE
from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.cli.metrics_endpoint import metrics_endpoint
from statefulroute.cli.options import (
    BindAddressOption,
    Context,
    KeepManagedFields,
    Kubeconfig,
    LogFormatOption,
    LogLevelOption,
    MetricsAddressOption,
    MetricsAuthenticationOption,
    MetricsTlsCertificateOption,
    MetricsTlsCipherSuitesOption,
    MetricsTlsKeyOption,
    MetricsTlsMinVersionOption,
    ProfilingAddressOption,
)
from statefulroute.cli.profiling_address import parse_profiling_address
from statefulroute.monitoring.tls_protocol import TlsProtocol, TlsVersion, parse_cipher_suites

if TYPE_CHECKING:
    from statefulroute.controllers.settings import Settings

# Functions import what the extra `operator` installs, so that `operator --help` works without it.


def operator(  # noqa: PLR0913 - an option each
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    watch_namespace: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMESPACE", help="Serve this namespace; may be repeated. By default all namespaces."),
    ] = None,
    parallel_writes: Annotated[
        int,
        typer.Option(
            min=1,
            max=256,
            help="The maximum number of concurrent writes to the links of one route; half as many more are for those "
            "of all other routes.",
        ),
    ] = 32,
    moves_per_second: Annotated[
        int,
        typer.Option(
            min=1,
            help="The maximum number of links of lost pods that are moved, deleted or marked per second. A tenth of it "
            "is the maximum number of statuses per second of which only the message changes.",
        ),
    ] = 200,
    annotate: Annotated[
        bool,
        typer.Option("--annotate/--no-annotate", help="Annotate pods and workloads with their load and state."),
    ] = True,
    plan_disruptions: Annotated[
        bool,
        typer.Option(
            "--plan-disruptions/--no-plan-disruptions",
            help="Scale workloads and guard pods against evictions where routes configure it.",
        ),
    ] = True,
    keep_managed_fields: KeepManagedFields = False,
    bind_address: BindAddressOption = None,
    metrics_address: MetricsAddressOption = None,
    metrics_tls_certificate: MetricsTlsCertificateOption = None,
    metrics_tls_key: MetricsTlsKeyOption = None,
    metrics_tls_min_version: MetricsTlsMinVersionOption = TlsVersion.TLS_1_2,
    metrics_tls_cipher_suites: MetricsTlsCipherSuitesOption = None,
    metrics_authentication: MetricsAuthenticationOption = False,
    profiling_address: ProfilingAddressOption = None,
    leader_elect: Annotated[
        bool, typer.Option("--leader-elect/--no-leader-elect", help="Work only while holding the Lease.")
    ] = True,
    lease_name: Annotated[str, typer.Option(help="The name of the Lease.")] = DEFAULT_LEASE_NAME,
    lease_namespace: Annotated[
        str | None,
        typer.Option(
            help=f"The namespace of the Lease; by default that of the pod, or with a kubeconfig "
            f"{DEFAULT_LEASE_NAMESPACE}."
        ),
    ] = None,
    lease_duration_seconds: Annotated[
        int, typer.Option(min=1, help="How long other instances wait for a holder that no longer renews the Lease.")
    ] = 15,
    renew_deadline_seconds: Annotated[
        float, typer.Option(help="How long after its last renewal the holder may write.")
    ] = 10,
    retry_period_seconds: Annotated[
        float, typer.Option(help="The interval between attempts to acquire or renew the Lease.")
    ] = 2,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = None,
    hash_uids: Annotated[
        bool, typer.Option("--hash-uids", help="Replace the uids of links by hashes in logs and traces.")
    ] = False,
) -> None:
    """Run the operator: bind PodLinks and keep the status of StatefulRoutes, until SIGTERM."""
    from statefulroute.cluster.field_logger import uid_redactor  # noqa: PLC0415
    from statefulroute.cluster.lease import LeaseTimes  # noqa: PLC0415
    from statefulroute.controllers.leadership import LeaderElectionSettings  # noqa: PLC0415
    from statefulroute.controllers.settings import Settings  # noqa: PLC0415
    from statefulroute.monitoring.bind_address import BindAddress  # noqa: PLC0415

    try:
        times = LeaseTimes(lease_duration_seconds, renew_deadline_seconds, retry_period_seconds)
        address = None if bind_address is None else BindAddress.parse(bind_address)
        suites = parse_cipher_suites(metrics_tls_cipher_suites, "--metrics-tls-cipher-suites")
        metrics = metrics_endpoint(
            metrics_address,
            metrics_tls_certificate,
            metrics_tls_key,
            TlsProtocol(metrics_tls_min_version, suites),
            authenticates=metrics_authentication,
        )
        profiling = parse_profiling_address(profiling_address)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    settings = Settings(
        kubeconfig=kubeconfig,
        context=context,
        parallel_writes=parallel_writes,
        moves_per_second=moves_per_second,
        annotates=annotate,
        plans_disruptions=plan_disruptions,
        keep_managed_fields=keep_managed_fields,
        namespaces=tuple(dict.fromkeys(watch_namespace or ())),
        leader_election=LeaderElectionSettings(lease_name, lease_namespace, times) if leader_elect else None,
        bind_address=address,
        metrics=metrics,
        profiling_address=profiling,
        uid_redactor=uid_redactor() if hash_uids else None,
    )
    run_operator(settings, log_level, log_format)


def run_operator(settings: "Settings", level: LogLevel, log_format: LogFormat | None) -> None:
    """Run the operator until SIGTERM."""
    import structlog  # noqa: PLC0415

    from statefulroute.cli.process import run_process  # noqa: PLC0415
    from statefulroute.cluster.errors import NotConnectedError  # noqa: PLC0415
    from statefulroute.cluster.lease import LeaseNamespaceNotFoundError  # noqa: PLC0415
    from statefulroute.controllers.operator import run  # noqa: PLC0415
    from statefulroute.monitoring.otlp import OtlpUnavailableError  # noqa: PLC0415
    from statefulroute.monitoring.server import BindError  # noqa: PLC0415
    from statefulroute.monitoring.tls import UnusableCertificateError  # noqa: PLC0415

    set_up_logging(level, log_format, hash_uids=settings.uid_redactor is not None)
    expected_errors = (
        NotConnectedError,
        BindError,
        UnusableCertificateError,
        OtlpUnavailableError,
        LeaseNamespaceNotFoundError,
    )
    run_process(lambda: run(settings, _kill), expected_errors, structlog.get_logger(__name__))


def _kill() -> NoReturn:
    """Exit without cleanup, as if killed: every part must tolerate that anyway."""
    import structlog  # noqa: PLC0415

    structlog.get_logger(__name__).error("the work has not ended after the Lease was lost: exiting")
    os._exit(1)
