"""What the benchmarks have in common: a cluster and a service to measure in, ways to bind, rounds, and reports."""
