"""What a workflow has met: a line of a file for each."""

from pathlib import Path

import msgspec


class Workflow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A workflow: a client opens a notebook, adds lines to it and closes it.

    Attributes:
        way: the gateway.
        client: the kind of the client.
        notebook: the handle; empty if none was opened.
        calls: how many calls were answered by a server.
        pods: the pods that have answered, one after another, each once in a row.
        not_found: how many calls were answered that there is no such notebook or session.
        wrong: the answers that do not fit the calls before.
        failed: calls without an answer of a server, and why.
        retried: how many calls were sent again, because the gateway had no pod for them.
        seconds: how long it took.
    """

    way: str
    client: str
    notebook: str = ""
    calls: int = 0
    pods: list[str] = []
    not_found: int = 0
    wrong: list[str] = []
    failed: list[str] = []
    retried: int = 0
    seconds: float = 0.0

    @property
    def is_kept(self) -> bool:
        """Whether every call was answered, and found what the calls before had left."""
        return not (self.not_found or self.wrong or self.failed)

    def answered_by(self, pod: str) -> None:
        """Adds an answer of a pod."""
        self.calls += 1
        if self.pods[-1:] != [pod]:
            self.pods.append(pod)


def read_workflows(file: Path) -> list[Workflow]:
    """Returns the workflows of a file."""
    return msgspec.json.Decoder(Workflow).decode_lines(file.read_bytes() if file.exists() else b"")
