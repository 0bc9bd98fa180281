"""The API server's messages without what differs between versions of Kubernetes, so that tests can compare them.

A message about an invalid object shows its value, or only the type of the value (1.31). That is no part of our rules.
"""

import re

_VALUE = re.compile(
    r'Invalid value: (?:"(?:[^"\\]|\\.)*"|-?[\d.]+(?:e[+-]?\d+)?|null|true|false|\{.*?\}|\[.*?\]): ', re.DOTALL
)
_INTEGER = re.compile(r'must be of type (?:integer|int32): "[^"]*"$')
_TOO_LONG = re.compile(r"may not be longer than (\d+)")

#: 1.31 does not check the size of integers.
_INTEGER_SIZE = "Checked value must be of type integer with format int32"


def comparable(*messages: str) -> tuple[str, ...]:
    """Returns messages as they are compared, each once: without values, and in the words of the newest version."""
    return tuple(dict.fromkeys(_normalized(message) for message in messages if _INTEGER_SIZE not in message))


def _normalized(message: str) -> str:
    without_value = _VALUE.sub("Invalid value: ", message, count=1)
    without_types = without_value.replace("Duplicate value: map[string]interface {}{", "Duplicate value: {")
    with_integer = _INTEGER.sub("must be of type integer", without_types)
    return _TOO_LONG.sub(r"may not be more than \1 bytes", with_integer)
