"""Real gateways on this machine, by the configurations of deploy/gateways: for tests and benchmarks."""
