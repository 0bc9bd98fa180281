"""What kopf writes into a StatefulRoute for itself: `status.observedGeneration`, and nothing else."""

from typing import Any, cast

import kopf


class GenerationStorage(kopf.DiffBaseStorage):
    """kopf's memory of what it has handled is the generation: an edit raises it, a status or a label does not.

    So a handled route costs one patch of its status, the usual `observedGeneration` says what the status is
    of, and a restart that finds it equal to the generation has nothing to do.
    """

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:  # noqa: ANN401, ARG002
        """What a route's handling depends on."""
        return _essence(body.metadata.get("generation"))

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """What was handled last, or None."""
        generation = (body.get("status") or {}).get("observedGeneration")
        return None if generation is None else _essence(generation)

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:  # noqa: ARG002
        """Note what is handled now."""
        patch.status["observedGeneration"] = essence["generation"]  # type: ignore[typeddict-item] # ours


class NoProgressStorage(kopf.ProgressStorage):
    """Handlers here end at their first call, well or badly: there is no progress between calls to keep."""

    def fetch(self, *, key: str, body: kopf.Body) -> kopf.ProgressRecord | None:  # noqa: ARG002
        """Nothing is under way."""
        return None

    def store(self, *, key: str, record: kopf.ProgressRecord, body: kopf.Body, patch: kopf.Patch) -> None:
        """Nothing is kept."""

    def purge(self, *, key: str, body: kopf.Body, patch: kopf.Patch) -> None:
        """Nothing was kept."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Nothing is to be woken."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Nothing of this is part of what a handling depends on."""
        return essence


def _essence(generation: int | None) -> kopf.BodyEssence:
    """What kopf compares; to kopf it is any mapping."""
    return cast("kopf.BodyEssence", {"generation": generation})
