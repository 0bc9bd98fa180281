"""Shared parts of the benchmarks: a cluster and a service to measure, ways to bind, rounds, and reports."""
