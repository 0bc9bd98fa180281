"""Picks endpoints over gRPC for Envoy's ext_proc filter, by the endpoint-picker protocol v1.0.0 of the Gateway API."""
