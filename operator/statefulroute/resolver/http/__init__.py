"""The resolver's HTTP API: look-ups, bindings, streams of moves, and ext_authz for gateways."""
