"""How to put right what routes and links say of themselves."""

from statefulroute.api.vocabulary import LinkReason, RouteReason

ROUTE_FIXES: dict[str, str] = {
    RouteReason.NO_ROUTABLE_POD: "see why no pod is Ready (kubectl get pods), or take back a Shutdown",
    RouteReason.SHUTDOWN: "if it is not meant so: statefulroute set-state ROUTE Ready",
    RouteReason.WORKLOAD_NOT_FOUND: "create the workload, or name another in spec.workloadRef",
    RouteReason.WORKLOAD_KIND_NOT_SUPPORTED: "name a workload that has a scale subresource in spec.workloadRef",
    RouteReason.WORKLOAD_FORBIDDEN: "give the operator the right that the message names",
    RouteReason.WORKLOAD_UNREADABLE: "see what the message says of the workload's scale",
    RouteReason.LOAD_STALE: "see why these pods do not report; until they do, they get no new users",
    RouteReason.NO_LOAD_REPORTED: "see why no pod reports; where users are to be spread by their number, none needs to",
}

LINK_FIXES: dict[str, str] = {
    LinkReason.NO_AVAILABLE_POD: "make a pod Ready, or take back a drain: statefulroute undrain, set-state",
    LinkReason.ROUTE_NOT_FOUND: "create the StatefulRoute, or remove the links: statefulroute unlink",
    LinkReason.WORKLOAD_NOT_FOUND: "create the route's workload, or correct its spec.workloadRef",
    LinkReason.POD_NOT_FOUND: "scale the workload up, or move them: statefulroute move",
    LinkReason.POD_NOT_ROUTABLE: "make the pod Ready, or move them: statefulroute move",
    LinkReason.POD_LOST: "bring the pod back, or move them: statefulroute move",
    LinkReason.AT_CAPACITY: "scale the workload up, or raise the route's placement.maxLinksPerPod",
    LinkReason.NOT_LOCAL_NAMESPACE: "remove them (kubectl delete podlink), and keep the admission policies in force",
    LinkReason.INVALID: "remove them (kubectl delete podlink), and create them anew as the message says",
}
