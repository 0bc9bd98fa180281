"""What streams of server-sent events have in common."""

#: A comment, for proxies that close idle connections, and for clients that notice dead ones.
HEARTBEAT = b":\n\n"

HEARTBEAT_SECONDS = 15.0

STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # otherwise nginx buffers the events
}
