"""Decodes Kubernetes objects from JSON into domain values.

Only the fields that the domain needs are decoded. msgspec skips all other fields, which are nine tenths of a Pod.
"""

from statefulroute.cluster.codec.links import LINKS
from statefulroute.cluster.codec.pods import ENDPOINTS, NODES, PODS
from statefulroute.cluster.codec.routes import ROUTES
from statefulroute.cluster.codec.workloads import STATEFUL_SETS

__all__ = ["ENDPOINTS", "LINKS", "NODES", "PODS", "ROUTES", "STATEFUL_SETS"]
