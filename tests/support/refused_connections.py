"""A kubeconfig of an API server that refuses connections."""

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: x, cluster: {server: 'http://127.0.0.1:9'}}]
users: [{name: x, user: {token: x}}]
contexts: [{name: x, context: {cluster: x, user: x}}]
current-context: x
"""
