"""What the resolver answers over HTTP: look-ups, bindings, moves, and whoever asks for each request (ext_authz)."""
