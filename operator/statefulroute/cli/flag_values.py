"""Accepts values of flags, as kubectl does: `--watch=false`, `--wait=true`."""

from collections.abc import Mapping, Sequence

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def spell_flags(arguments: Sequence[str], opposites: Mapping[str, str]) -> list[str]:
    """Returns the arguments with flags in place of flags with values.

    Args:
        arguments: the arguments of a command.
        opposites: for each flag the one that means the opposite; empty if there is none, because it is the default.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words = []
    for word in arguments[:end]:
        name, _, value = word.partition("=")
        if name not in opposites or value not in _TRUE | _FALSE:
            words.append(word)
        elif value in _TRUE:
            words.append(name)
        elif opposites[name]:
            words.append(opposites[name])
    return [*words, *arguments[end:]]
