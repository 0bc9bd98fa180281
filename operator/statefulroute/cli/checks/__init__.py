"""What `check` examines: the installation and the state of routes and links."""
