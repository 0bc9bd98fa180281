"""Everything that talks to Kubernetes: the connection, the client, the caches and the writes."""
