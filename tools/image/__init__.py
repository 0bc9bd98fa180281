"""Programs of the Dockerfile's build stages. Each is one file, which runs with the base image's Python alone."""
