"""The Kubernetes API: connection, client, caches and writers."""
