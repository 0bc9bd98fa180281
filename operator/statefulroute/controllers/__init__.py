"""Decides when something runs: gathers what a decision needs, lets the rules plan, and applies the plan."""
