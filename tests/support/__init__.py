"""Test support: typed kubectl, Kubernetes objects, processes of the product, and waiting."""
