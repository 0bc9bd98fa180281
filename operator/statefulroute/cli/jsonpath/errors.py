"""The error of a template."""


class JSONPathError(ValueError):
    """A template is not valid, or cannot be evaluated."""
