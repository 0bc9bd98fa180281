"""Health probes and metrics of a process."""
