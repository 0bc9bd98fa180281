"""Picks endpoints for Envoy over gRPC (ext_proc), by the endpoint-picker protocol v1.0.0 of the Gateway API."""
