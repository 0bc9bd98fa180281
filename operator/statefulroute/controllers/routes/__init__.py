"""The controller of StatefulRoutes: kopf calls handlers for their life cycle, a scheduler runs the timers."""
