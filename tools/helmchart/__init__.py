"""Generates the Helm chart in charts/statefulroute from typed Python; the hand-written templates are YAML there.

`values` defines what can be set; values.yaml, values.schema.json and the chart's README are generated from it. The
CustomResourceDefinitions, RBAC rules and admission policies come from `statefulroute.api`.
"""
