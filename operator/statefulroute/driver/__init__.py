"""The library for applications: a driver for server pods, and a driver for their callers."""
