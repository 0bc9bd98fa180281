"""The controller of StatefulRoutes: kopf runs its handlers and, for each route, the daemons for links and status."""
