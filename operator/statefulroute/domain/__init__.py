"""The rules, as pure functions of values: without input and output, clocks, Kubernetes clients and kopf."""
