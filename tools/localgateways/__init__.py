"""Runs real gateways on this machine with the configurations of deploy/gateways, for tests and benchmarks."""
