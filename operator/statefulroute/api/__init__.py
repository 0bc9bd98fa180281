"""The two kinds as types. CRDs, RBAC and admission policies are generated from what stands here."""
