"""The library that applications import: what a server pod says of itself, and what callers ask."""
