"""Transfers the states of users between the drivers of two pods by HTTP."""
