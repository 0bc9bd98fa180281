"""The demo: a control plane, the operator and three bound users, on this machine and for as long as it runs."""
