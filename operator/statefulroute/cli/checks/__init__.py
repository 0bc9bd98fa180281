"""The checks of `statefulroute check`."""
