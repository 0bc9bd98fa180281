"""How the operator is watched over: metrics, probes and traces."""
