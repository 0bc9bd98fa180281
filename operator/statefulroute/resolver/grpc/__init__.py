"""Picks endpoints over gRPC: for Envoy's ext_authz, and for ext_proc by the endpoint-picker protocol v1.0.0."""
