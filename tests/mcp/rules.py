"""Checks the workflows of a run, and counts what they have met."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise

from mcp.record import Workflow
from support.link_recorder import Version


def violations(workflows: Sequence[Workflow], links: Mapping[str, Sequence[Version]], route: str) -> Iterator[str]:
    """Yields what should not have happened to workflows by a gateway that asks the resolver.

    Args:
        workflows: the workflows.
        links: the versions of the links by their names.
        route: the name of the route.
    """
    for workflow in workflows:
        name = f"{workflow.notebook} of {workflow.client} by {workflow.way}"
        if workflow.not_found:
            yield f"{name}: {workflow.not_found} calls did not find it"
        yield from (f"{name}: {each}" for each in (*workflow.wrong, *workflow.failed))
        linked = pods_of(links.get(f"{route}.{workflow.notebook}", ()), route)
        if not _is_subsequence(workflow.pods, linked):
            yield f"{name}: answered by {workflow.pods}, and linked to {linked}"


def pods_of(versions: Sequence[Version], route: str) -> list[str]:
    """Returns the pods of a link, one after another."""
    pods = (f"{route}-{each.pod}" for each in versions if each.event != "DELETED" and each.pod is not None)
    return [pod for pod, _ in groupby(pods)]


def hand_overs(links: Mapping[str, Sequence[Version]]) -> int:
    """Returns how many hand-overs have ended at another pod."""
    return sum(
        "handOver" in before.object["spec"] and before.pod != after.pod
        for versions in links.values()
        for before, after in pairwise(versions)
    )


def figures(workflows: Sequence[Workflow]) -> str:
    """Returns what workflows have met."""
    seconds = sorted(each.seconds for each in workflows)
    counts = {
        "workflows": len(workflows),
        "complete": sum(each.is_kept for each in workflows),
        "answered calls": sum(each.calls for each in workflows),
        "not found": sum(each.not_found for each in workflows),
        "wrong answers": sum(len(each.wrong) for each in workflows),
        "calls without an answer": sum(len(each.failed) for each in workflows),
        "calls sent again": sum(each.retried for each in workflows),
        "workflows on several pods": sum(len(each.pods) > 1 for each in workflows),
        "seconds of a workflow (p50)": round(seconds[len(seconds) // 2], 1) if seconds else None,
    }
    return ", ".join(f"{name}: {number}" for name, number in counts.items())


def _is_subsequence(some: Sequence[str], all_of_them: Sequence[str]) -> bool:
    rest = iter(all_of_them)
    return all(each in rest for each in some)
