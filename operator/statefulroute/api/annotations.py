"""The annotations and labels that pods, the operator and Kubernetes exchange."""

from statefulroute.api.group import GROUP

# On a pod, written by its driver or by a user.

ROUTING_STATE = f"{GROUP}/routing-state"
"""Which users the pod accepts: Ready, DenyNewCall or Shutdown."""
LOAD_STATE = f"{GROUP}/load-state"
"""How busy the pod is, as a whole number in a unit that the application chooses."""
WAITING_TASKS = f"{GROUP}/waiting-tasks"
"""The number of tasks that wait in the pod."""
REPORT_TIME = f"{GROUP}/report-time"
"""When the pod reported its load, as RFC 3339."""

# On a pod, written by the operator.

WEIGHTED_LOAD = f"{GROUP}/weighted-load"
"""The weighted load of the pod, as a decimal number; written when it changes by a tenth or more."""
POD_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""The number of links of the pod. The ReplicaSet controller deletes the pod with the lowest cost first."""

# A label of a pod, written by the operator.

OCCUPIED_LABEL = f"{GROUP}/occupied"
"""Marks a pod that keeps users, so that a PodDisruptionBudget refuses its eviction. Other pods do not have it."""
OCCUPIED = "true"
"""The value of the label."""

# On a StatefulRoute, written by a user.

LOSS_CONFIRMED_AT = f"{GROUP}/loss-confirmed-at"
"""When a user confirmed the losses of pods, as RFC 3339. Losses that began by then are not suspended."""

# On any object, written by `kubectl apply`.

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""The object of the last client-side apply."""

# On a workload, written by the operator.

WORKLOAD_STATE = f"{GROUP}/workload-state"
"""How busy the service is: Idle, Normal, High, Overloaded or Shutdown."""
WORKLOAD_LOAD = f"{GROUP}/workload-load"
"""The mean weighted load of the pods of the service, as a decimal number."""
WORKLOAD_TIME = f"{GROUP}/workload-time"
"""When the workload state and load were last written."""

# On the Lease of the operators, written by their leader.

SERVED_NAMESPACES = f"{GROUP}/served-namespaces"
"""The namespaces that the leader works in, separated by commas; `*` is the whole cluster."""

# All that the operator writes on pods and workloads. The admission policy `operator_writes` allows nothing else.

POD_ANNOTATIONS = (WEIGHTED_LOAD, POD_DELETION_COST)
WORKLOAD_ANNOTATIONS = (WORKLOAD_STATE, WORKLOAD_LOAD, WORKLOAD_TIME)
POD_LABELS = (OCCUPIED_LABEL,)
