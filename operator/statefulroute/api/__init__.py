"""The two kinds as types. CRDs, RBAC and admission policies are generated from what stands here."""

from statefulroute.api.group import API_VERSION, GROUP, VERSION
from statefulroute.api.podlink import PodLink, PodLinkSpec, PodLinkStatus
from statefulroute.api.statefulroute import StatefulRoute, StatefulRouteSpec, StatefulRouteStatus

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "PodLink",
    "PodLinkSpec",
    "PodLinkStatus",
    "StatefulRoute",
    "StatefulRouteSpec",
    "StatefulRouteStatus",
]
