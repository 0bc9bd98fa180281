"""Truncates texts by the size that they have in etcd, where the API server stores custom resources as JSON."""

_ELLIPSIS = "..."

#: The longest escape sequence of a character: `\u003c`.
_MAX_ESCAPE = 6

#: What Go's JSON encoder writes as an escape sequence of six bytes, as it does control characters.
_ESCAPED = frozenset("<>&\u2028\u2029")


def truncate(text: str, max_bytes: int) -> str:
    """Returns a text whose JSON encoding has at most this many bytes without quotes: its beginning, if it is longer.

    Args:
        text: the text.
        max_bytes: the largest number of encoded bytes, at least three.
    """
    if len(text) * _MAX_ESCAPE <= max_bytes:
        return text
    size, end = 0, 0
    for position, character in enumerate(text):
        if size <= max_bytes - len(_ELLIPSIS):
            end = position
        size += _encoded_size(character)
        if size > max_bytes:
            return text[:end] + _ELLIPSIS
    return text


def _encoded_size(character: str) -> int:
    if character in _ESCAPED or character < " ":
        return _MAX_ESCAPE
    if character in '"\\':
        return 2
    return len(character.encode(errors="replace"))
