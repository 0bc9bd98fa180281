"""The annotations by which pods, the operator and Kubernetes speak to each other."""

from statefulroute.api.group import GROUP

# On a pod, written by its own driver or by hand.

ROUTING_STATE = f"{GROUP}/routing-state"
"""Whom the pod takes: Ready, DenyNewCall or Shutdown."""
LOAD_STATE = f"{GROUP}/load-state"
"""How busy the pod is, as a whole number of its own measure."""
WAITING_TASKS = f"{GROUP}/waiting-tasks"
"""How many tasks wait in the pod."""
REPORT_TIME = f"{GROUP}/report-time"
"""When the pod has reported these, as RFC 3339."""

# On a pod, written by the operator.

WEIGHTED_LOAD = f"{GROUP}/weighted-load"
"""The pod's weighted load, as a decimal number; written when it has moved by a tenth or more."""
POD_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""How many links the pod carries, for the ReplicaSet controller: it deletes the pod of the lowest cost first."""

# On a workload, written by the operator.

WORKLOAD_STATE = f"{GROUP}/workload-state"
"""How busy the service is: Idle, Normal, High, Overloaded or Shutdown."""
WORKLOAD_LOAD = f"{GROUP}/workload-load"
"""The mean weighted load of the service's pods, as a decimal number."""
WORKLOAD_TIME = f"{GROUP}/workload-time"
"""When the two were last written."""
