"""Generates the Helm chart in charts/statefulroute: what is typed stands here, what is YAML there.

`values` says what can be set. From it come values.yaml, values.schema.json and the chart's README; the
CustomResourceDefinitions, rights and admission policies come from `statefulroute.api`.
"""
