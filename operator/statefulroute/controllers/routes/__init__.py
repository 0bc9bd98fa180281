"""StatefulRoutes: kopf runs their handlers and, for each, the daemons that serve its links and its status."""
