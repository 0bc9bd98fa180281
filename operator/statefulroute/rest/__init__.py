"""What the HTTP APIs of the resolver and the sidecar share: problems, bodies, responses, streams and documents."""
