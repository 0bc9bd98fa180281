"""Sticky, stateful routing on Kubernetes: bindings of users to pods as API objects."""
