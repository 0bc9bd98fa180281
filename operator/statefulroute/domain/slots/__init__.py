"""Slots: which slot a uid belongs to, and which link binds it."""
