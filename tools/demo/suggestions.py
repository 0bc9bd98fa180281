"""Commands to try in a second terminal while the demo is up, each with its effect."""

import shutil
from collections.abc import Iterable

from demo.kubectl import ROOT, Kubectl
from demo.screen import Screen
from demo.snapshot import NAMESPACE

COMMANDS = (
    (
        f"kubectl -n {NAMESPACE} scale statefulset game --replicas=5",
        "More pods: no user moves, and the next user goes to an empty one",
    ),
    (f"kubectl -n {NAMESPACE} delete pod game-2", "Alice's pod restarts: her link stays on it, and no link is written"),
    (
        f'kubectl -n {NAMESPACE} patch podlink game.alice --type=merge -p \'{{"spec":{{"podIndex":0}}}}\'',
        "Move Alice by hand",
    ),
    (
        f"kubectl -n {NAMESPACE} delete statefulroute game",
        "Without their route all links wait; their specs keep the pods",
    ),
    ("kubectl apply -f examples/game", "The route is back, and every user is on the same pod as before"),
    (
        f"kubectl -n {NAMESPACE} delete podlink game.bob && kubectl apply -f examples/links/chosen.yaml",
        "Bob leaves and returns: the operator chooses a pod for him again",
    ),
)


def shell_setup(kubectl: Kubectl) -> list[str]:
    """Returns the commands that set up the second terminal."""
    lines = [f"cd {ROOT}", f"export KUBECONFIG={kubectl.kubeconfig}"]
    if shutil.which("kubectl") is None:
        lines.append(f"alias kubectl={kubectl.program}")
    return lines


def print_suggestions(screen: Screen, kubectl: Kubectl, first: Iterable[tuple[str, str]] = ()) -> None:
    """Prints the commands, after those of the gateway."""
    screen.step("It stays up until Ctrl-C; try this in a second terminal and watch it here")
    for line in shell_setup(kubectl):
        screen.command(line)
    screen.info("")
    for line, description in (*first, *COMMANDS):
        screen.info(f"{description}:")
        screen.command(line)
