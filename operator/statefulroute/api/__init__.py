"""The API types of the two kinds. CRDs, RBAC and admission policies are generated from this package."""
