"""What kopf stores in a StatefulRoute for itself: `status.observedGeneration`, and nothing else."""

from typing import Any, cast

from statefulroute.controllers.lean_kopf import kopf


class GenerationStorage(kopf.DiffBaseStorage):
    """Stores the handled generation of a route, which an edit increases and a status or a label does not.

    So a handled route costs one patch of its status, the usual `observedGeneration` names the generation that the
    status describes, and a restart handles no route whose `observedGeneration` equals its generation.
    """

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:  # noqa: ANN401, ARG002
        """Returns what the handlers of a route depend on."""
        return _essence(body.metadata.get("generation"))

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Returns what was handled last; None if nothing was."""
        generation = (body.get("status") or {}).get("observedGeneration")
        return None if generation is None else _essence(generation)

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:  # noqa: ARG002
        """Stores what is handled now."""
        patch.status["observedGeneration"] = essence["generation"]  # type: ignore[typeddict-item] # ours


class NoProgressStorage(kopf.ProgressStorage):
    """Stores no progress: every handler here succeeds or fails at its first call."""

    def fetch(self, *, key: str, body: kopf.Body) -> kopf.ProgressRecord | None:  # noqa: ARG002
        """Returns None: no handler is in progress."""
        return None

    def store(self, *, key: str, record: kopf.ProgressRecord, body: kopf.Body, patch: kopf.Patch) -> None:
        """Does nothing."""

    def purge(self, *, key: str, body: kopf.Body, patch: kopf.Patch) -> None:
        """Does nothing."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Does nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Returns the essence unchanged: it contains no progress."""
        return essence


def _essence(generation: int | None) -> kopf.BodyEssence:
    """Returns what kopf compares; for kopf it is any mapping."""
    return cast("kopf.BodyEssence", {"generation": generation})
