"""The demo: a control plane, the operator and three bound users, on this machine while the demo runs."""
