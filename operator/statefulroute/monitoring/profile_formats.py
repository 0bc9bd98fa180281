"""The formats of profiles: speedscope's JSON, and a table of functions."""

import json
from collections import Counter
from importlib.metadata import version
from types import CodeType
from typing import Any

from statefulroute.monitoring.cpu_profiler import Profile

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"

#: The number of functions in a table.
_ROWS = 50


def speedscope(profile: Profile, name: str) -> str:
    """Returns a profile in the format of speedscope, with a profile for each thread.

    Args:
        profile: the profile.
        name: its title.
    """
    indices: dict[CodeType, int] = {}
    threads: list[dict[str, Any]] = []
    for thread, samples in profile.samples.items():
        stacks = [[indices.setdefault(code, len(indices)) for code in stack] for stack, _ in samples]
        weights = [seconds for _, seconds in samples]
        threads.append(
            {
                "type": "sampled",
                "name": thread,
                "unit": "seconds",
                "startValue": 0,
                "endValue": sum(weights),
                "samples": stacks,
                "weights": weights,
            }
        )
    frames = [{"name": code.co_qualname, "file": code.co_filename, "line": code.co_firstlineno} for code in indices]
    exporter = f"statefulroute {version('statefulroute')}"
    document = {"$schema": _SCHEMA, "shared": {"frames": frames}, "profiles": threads}
    return json.dumps({**document, "name": name, "exporter": exporter, "activeProfileIndex": 0})


def table(profile: Profile, name: str) -> str:
    """Returns the functions of a profile with the most CPU time of their own.

    Args:
        profile: the profile.
        name: its title.
    """
    own: Counter[CodeType] = Counter()
    total: Counter[CodeType] = Counter()
    for samples in profile.samples.values():
        for stack, seconds in samples:
            own[stack[-1]] += seconds  # type: ignore[assignment]  # a counter of seconds
            for code in set(stack):
                total[code] += seconds  # type: ignore[assignment]  # as above
    lines = [f"{name}: {profile.cpu_seconds:.2f} s of CPU time", "", f"{'own s':>8} {'total s':>8}  function"]
    by_own_time = sorted(total, key=lambda code: (-own[code], -total[code]))
    lines += [f"{own[code]:8.2f} {total[code]:8.2f}  {_place(code)}" for code in by_own_time[:_ROWS]]
    return "\n".join([*lines, ""])


def _place(code: CodeType) -> str:
    return f"{code.co_qualname} ({code.co_filename}:{code.co_firstlineno})"
