"""Answers gateways: which pod holds a user, and where it is; binds users who are new, where that is asked for."""
