"""What people type to see and to move users: `kubectl statefulroute ...`, or `statefulroute ...`."""
