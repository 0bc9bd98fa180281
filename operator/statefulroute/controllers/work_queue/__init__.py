"""A work queue, divided as in client-go: the queue, the rate limiting of retries, and the workers."""
