"""Builds the stand-alone kubectl plugin, and its manifest for krew."""
