"""Prints results as kubectl does."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

#: The characters that Go escapes in JSON, besides those that JSON requires.
_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}

#: From this number on, Go prints a float with an exponent.
_MIN_EXPONENT_FLOAT = 1e21


def as_text(results: Iterable[Sequence[Any]]) -> str:
    """Returns the output of a template: spaces separate the results of a path, and nothing separates those of paths."""
    return "".join(" ".join(map(_text, values)) for values in results)


def as_json(results: Iterable[Sequence[Any]]) -> str:
    """Returns the output of `jsonpath-as-json`: a JSON array for the results of each path."""
    return "".join(_json([*values], indent=4) + "\n" for values in results)


def as_go_text(value: Any) -> str:  # noqa: ANN401 - any value of JSON
    """Returns a value as Go's `fmt.Sprint` prints it: `map[a:1 b:2]`, `[1 2]`, `<nil>`."""
    match value:
        case None:
            return "<nil>"
        case dict():
            return f"map[{' '.join(f'{key}:{as_go_text(item)}' for key, item in sorted(value.items()))}]"
        case list():
            return f"[{' '.join(map(as_go_text, value))}]"
        case _:
            return _text(value)


def _text(value: Any) -> str:  # noqa: ANN401 - any value of JSON
    match value:
        case str():
            return value
        case None:
            return "null"
        case float() if value.is_integer() and abs(value) < _MIN_EXPONENT_FLOAT:
            return str(int(value))
        case _:
            return _json(value)


def _json(value: Any, indent: int | None = None) -> str:  # noqa: ANN401 - any value of JSON
    separators = (",", ":") if indent is None else None
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=separators, indent=indent)
    return text.translate(_ESCAPED)
