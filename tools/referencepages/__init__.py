"""Generates the pages of the reference from what they describe: commands, HTTP APIs, values of the chart, alerts."""
