"""The commands, a module each: its options and its work. `app.py` imports a module when its command runs."""
