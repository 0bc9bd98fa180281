"""The resolver: answers which pod holds a user and the pod's address, and binds new users on request."""
