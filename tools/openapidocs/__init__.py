"""Writes the OpenAPI documents of the HTTP APIs."""
