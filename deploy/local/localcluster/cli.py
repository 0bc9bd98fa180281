"""The command `localcluster`."""


def main() -> None:
    """Run the command."""
