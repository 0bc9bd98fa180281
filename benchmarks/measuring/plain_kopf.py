"""An operator in the style of kopf's documentation, with default settings: it binds links that name their pod."""

from typing import Any

import kopf

from statefulroute.api.group import API_VERSION

_GROUP, _VERSION = API_VERSION.split("/")


@kopf.on.resume(_GROUP, _VERSION, "podlinks")
@kopf.on.create(_GROUP, _VERSION, "podlinks")
@kopf.on.update(_GROUP, _VERSION, "podlinks")
def mark_bound(spec: kopf.Spec, meta: kopf.Meta, patch: kopf.Patch, **_: Any) -> None:  # noqa: ANN401 - kopf's signature
    """Marks the link as bound."""
    name = f"{spec['routeName']}-{spec['podIndex']}"
    patch.status["phase"] = "Bound"
    patch.status["podIndex"] = spec["podIndex"]
    patch.status["podName"] = name
    patch.status["host"] = f"{name}.{spec['routeName']}.{meta['namespace']}.svc"
    patch.status["observedGeneration"] = meta["generation"]
    patch.status["conditions"] = [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Bound",
            "message": f"bound to pod {name!r}",
            "observedGeneration": meta["generation"],
            "lastTransitionTime": meta["creationTimestamp"],
        }
    ]
