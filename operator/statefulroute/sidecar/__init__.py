"""The sidecar: the server driver for programs in any language, over HTTP with JSON and server-sent events."""
