"""The nodes that pods may be on, also those that were deleted while the operator ran."""

import msgspec

from statefulroute.cluster.informers import Informers
from statefulroute.domain.pod import Node

#: How many deleted nodes are remembered. Kubernetes deletes the pods of a deleted node within minutes.
_MAX_DELETED_NODES = 1_000


class KnownNodes:
    """The nodes by name.

    Args:
        informers: the caches; without that of nodes, none is known.
    """

    def __init__(self, informers: Informers) -> None:
        self._informers = informers
        self._deleted: dict[str, Node] = {}
        """The deleted nodes, the latest last."""

    def get(self, name: str) -> Node | None:
        """Returns a node, also one that was deleted; None if it is not known."""
        nodes = self._informers.nodes_by_name
        return None if nodes is None else nodes.get(name) or self._deleted.get(name)

    def observe(self, old: Node | None, new: Node | None) -> str | None:
        """Handles a change of a node; returns its name if that may change whether its pods are lost, or close."""
        node = new or old
        if node is None or (old and new and (old.is_ready, old.is_drained) == (new.is_ready, new.is_drained)):
            return None
        self._deleted.pop(node.name, None)
        if new is None:
            self._deleted[node.name] = msgspec.structs.replace(node, is_deleted=True)
            if len(self._deleted) > _MAX_DELETED_NODES:
                del self._deleted[next(iter(self._deleted))]
        return node.name
