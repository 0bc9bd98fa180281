"""What the tests stand on: kubectl as a typed object, objects to feed it, and patience."""
