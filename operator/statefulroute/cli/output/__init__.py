"""How commands write: tables, objects, progress and messages."""
