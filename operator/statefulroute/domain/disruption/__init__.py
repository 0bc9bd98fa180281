"""What Kubernetes removes on purpose waits for users: which pods close, and what follows."""
