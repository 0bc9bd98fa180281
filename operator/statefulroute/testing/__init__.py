"""A cluster in memory, for the tests of applications that use the drivers."""

from statefulroute.testing.in_memory_cluster import InMemoryCluster

__all__ = ["InMemoryCluster"]
