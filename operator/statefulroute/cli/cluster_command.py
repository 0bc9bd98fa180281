"""Gives a command the options that select the cluster, which all commands share."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from statefulroute.cli.options import (
    AllNamespaces,
    AsGroup,
    AsUid,
    AsUser,
    Context,
    KeepManagedFields,
    Kubeconfig,
    Namespace,
)
from statefulroute.cli.runner import ClusterOptions

_CONNECTION: Mapping[str, Any] = {
    "namespace": Namespace,
    "context": Context,
    "kubeconfig": Kubeconfig,
    "as_user": AsUser,
    "as_group": AsGroup,
    "as_uid": AsUid,
}
_ALL_NAMESPACES: Mapping[str, Any] = {"all_namespaces": AllNamespaces}
_KEEP_MANAGED_FIELDS: Mapping[str, Any] = {"keep_managed_fields": KeepManagedFields}

_PARAMETER = "cluster_options"
"""The parameter of a command that receives the values of these options."""


def cluster_command(
    *, all_namespaces: bool = False, writes_links: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Returns a decorator that gives a command the options that select the cluster.

    They replace its parameter `cluster_options`, which receives their values.

    Args:
        all_namespaces: whether the command has the option --all-namespaces.
        writes_links: whether it has the option --keep-managed-fields.
    """
    shared = {
        **(_KEEP_MANAGED_FIELDS if writes_links else {}),
        **(_ALL_NAMESPACES if all_namespaces else {}),
        **_CONNECTION,
    }

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(**values: Any) -> None:  # noqa: ANN401 - typer passes a value of each option
            selection = {name: values.pop(name) for name in shared}
            function(**values, **{_PARAMETER: ClusterOptions(**selection)})

        signature = inspect.signature(function)
        own = [parameter for name, parameter in signature.parameters.items() if name != _PARAMETER]
        further = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=getattr(ClusterOptions(), name),
                annotation=annotation,
            )
            for name, annotation in shared.items()
        ]
        command.__signature__ = signature.replace(parameters=[*own, *further])  # type: ignore[attr-defined] # typer reads it
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *further)}
        return command

    return decorate
