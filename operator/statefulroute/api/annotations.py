"""The annotations by which a pod's driver speaks to the operator."""

from statefulroute.api.group import GROUP

ROUTING_STATE = f"{GROUP}/routing-state"
"""Whom the pod takes: Ready, DenyNewCall or Shutdown."""
