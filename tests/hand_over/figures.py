"""Figures of a run, for the log."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from hand_over.record import Answered, Fault, Loaded, Record, Refused

_SHARES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))


def hand_overs(record: Record) -> int:
    """Returns how many hand-overs have ended at another pod."""
    return sum(is_elsewhere for is_elsewhere in _ends(record))


def withdrawn(record: Record) -> int:
    """Returns how many hand-overs have ended at the same pod."""
    return sum(not is_elsewhere for is_elsewhere in _ends(record))


def _ends(record: Record) -> Iterator[bool]:
    """Yields for each hand-over that has ended whether the user is at another pod."""
    for versions in record.links.values():
        for before, after in pairwise(versions):
            if "handOver" in before.object["spec"] and "handOver" not in after.object["spec"]:
                yield before.pod != after.pod


def pauses(record: Record, *, quiet: bool) -> list[float]:
    """Returns the times from the last answer of a pod to the first answer of the next pod, in seconds, sorted.

    They contain the pause of the user between two writes.

    Args:
        record: the record.
        quiet: whether those before the first fault, or those after it.
    """
    return sorted(after.at - before.at for before, after in _moves(record, quiet=quiet))


def waits(record: Record, *, quiet: bool) -> list[float]:
    """Returns how long users waited for the first answer of the next pod, in seconds, sorted."""
    return sorted(after.at - after.sent for _, after in _moves(record, quiet=quiet))


def _moves(record: Record, *, quiet: bool) -> Iterator[tuple[Answered, Answered]]:
    for answers in record.of_users(Answered).values():
        for before, after in pairwise(answers):
            if before.pod != after.pod and (after.at < record.quiet_until) == quiet:
                yield before, after


def quantile(values: Sequence[float], share: float) -> float:
    """Returns a quantile of sorted values; 0 if there are none."""
    return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def lines(record: Record) -> list[str]:
    """Returns the figures as lines."""
    loaded, faults = record.of(Loaded), Counter(each.name for each in record.of(Fault))
    answers, versions = record.of(Answered), sum(map(len, record.links.values()))
    transferred = sum(each.is_transferred for each in loaded)
    return [
        f"{hand_overs(record)} hand-overs and {withdrawn(record)} withdrawn ones",
        f"{versions} versions of the links of {len(record.links)} users",
        f"{len(answers)} acknowledged writes; the store refused {len(record.of(Refused))} times by the token",
        f"{transferred} states came from the previous pod, {len(loaded) - transferred} from the store",
        f"{sum(faults.values())} faults: "
        + (", ".join(f"{number} x {name}" for name, number in sorted(faults.items())) or "none"),
        *(
            _line(f"{name} {when}", values(record, quiet=quiet))
            for when, quiet in (("without faults", True), ("with faults", False))
            for name, values in (("pause", pauses), ("wait", waits))
        ),
    ]


def _line(name: str, values: Sequence[float]) -> str:
    shown = ", ".join(f"{label} {quantile(values, share) * 1000:.0f} ms" for label, share in _SHARES)
    return f"{name}: {len(values)} moves, {shown}"
