"""The values of `--dry-run`, which are those of kubectl."""

from enum import StrEnum


class DryRun(StrEnum):
    """Whether the changes of a command are made."""

    NONE = "none"
    """They are made."""
    CLIENT = "client"
    """No write is sent."""
    SERVER = "server"
    """The API server validates the writes, and does not persist them."""

    @property
    def is_persistent(self) -> bool:
        """Whether the changes are made."""
        return self is DryRun.NONE

    @property
    def suffix(self) -> str:
        """What follows the message of a change."""
        return {DryRun.NONE: "", DryRun.CLIENT: " (dry run)", DryRun.SERVER: " (server dry run)"}[self]
