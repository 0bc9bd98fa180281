"""Parses and matches label selectors such as `app=game,tier in (a,b),!canary`, as `labels.Parse` of Kubernetes does.

A Scale (autoscaling/v1) contains its selector in this form.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

_TOKEN = re.compile(r"!=|==|[=!(),<>]|[^=!(),<> \t\r\n]+")
_SYMBOLS = frozenset({"!=", "==", "=", "!", "(", ")", ",", "<", ">"})

#: Follows the last token; no token is empty.
_END = ""

_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_WORD_LENGTH = 63
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PREFIX_LENGTH = 253

_INTEGER = re.compile(r"[+-]?[0-9]+")
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


class Membership(NamedTuple):
    """Requires that the value of a label is in a set, or is not; None in the set is an absent label."""

    key: str
    values: frozenset[str | None]
    is_in: bool


class Comparison(NamedTuple):
    """Requires that the value of a label is a number above or below a bound."""

    key: str
    bound: int
    is_greater: bool


class Selector(msgspec.Struct, frozen=True):
    """Selects objects by label. Selectors with the same requirements are equal, even if their texts differ."""

    memberships: frozenset[Membership] = frozenset()
    comparisons: frozenset[Comparison] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """Parses a selector: requirements that are separated by commas, all of which an object must meet.

        The requirements are `key=value`, `key==value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key` (the
        label exists), `!key` (the label does not exist), `key>1` and `key<1`. White space between tokens is ignored.

        Raises:
            ValueError: the text is not a selector; the message explains why.
        """
        requirements = _Parser(text).requirements()
        return cls(
            frozenset(each for each in requirements if isinstance(each, Membership)),
            frozenset(each for each in requirements if isinstance(each, Comparison)),
        )

    @property
    def is_empty(self) -> bool:
        """Returns whether the selector has no requirements, so that it selects all objects."""
        return not (self.memberships or self.comparisons)

    @property
    def required_label(self) -> tuple[str, str] | None:
        """Returns a label, with its value, that every selected object has; None if the selector names no such label."""
        single = (each for each in self.memberships if each.is_in and len(each.values) == 1)
        pairs = ((each.key, value) for each in single for value in each.values if value is not None)
        return min(pairs, default=None)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Returns whether labels meet all requirements. An absent label meets `!=` and `notin`."""
        for key, values, wanted in self.memberships:
            if (labels.get(key) in values) is not wanted:
                return False
        for key, bound, above in self.comparisons:
            number = _int64(labels.get(key, ""))
            if number is None or not (number > bound if above else number < bound):
                return False
        return True


def format_selector(labels: Mapping[str, str], expressions: Iterable[tuple[str, str, Iterable[str]]]) -> str:
    """Returns the text of a selector, as `labels.Selector.String` of Kubernetes does.

    Args:
        labels: the values that labels must have.
        expressions: the key, the operator (In, NotIn, Exists or DoesNotExist) and the values of other requirements.

    Raises:
        ValueError: an operator is of a later version.
    """
    requirements = [(key, f"{key}={value}") for key, value in labels.items()]
    for key, operator, values in expressions:
        listed = ",".join(sorted(values))
        forms = {
            "In": f"{key} in ({listed})",
            "NotIn": f"{key} notin ({listed})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        if operator not in forms:
            raise ValueError(f"{operator!r} is not an operator of a label selector")
        requirements.append((key, forms[operator]))
    return ",".join(text for _, text in sorted(requirements))


class _Parser:
    """A recursive descent parser of one selector."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _TOKEN.findall(text)
        self._next = 0

    def requirements(self) -> list[Membership | Comparison]:
        """Parses all requirements. An empty text has none, but an empty requirement between commas is an error."""
        requirements: list[Membership | Comparison] = []
        if self._current == _END:
            return requirements
        requirements.append(self._requirement())
        while self._current == ",":
            self._take()
            requirements.append(self._requirement())
        if self._current != _END:
            raise self._unexpected("',' or the end")
        return requirements

    def _requirement(self) -> Membership | Comparison:
        absent = self._current == "!"
        if absent:
            self._take()
        key = self._key()
        if absent or self._current in {",", _END}:
            return Membership(key, frozenset({None}), is_in=absent)
        match operator := self._take():
            case "=" | "==" | "!=":
                return Membership(key, frozenset({self._optional_value()}), is_in=operator != "!=")
            case "in" | "notin":
                return Membership(key, self._values(), is_in=operator == "in")
            case "<" | ">":
                return Comparison(key, self._bound(), is_greater=operator == ">")
        self._next -= 1
        raise self._unexpected("an operator")

    def _key(self) -> str:
        if not self._is_at_word:
            raise self._unexpected("a label key")
        key = self._take()
        prefix, slash, name = key.rpartition("/")
        if not _is_word(name) or (slash and not (len(prefix) <= _PREFIX_LENGTH and _PREFIX.fullmatch(prefix))):
            raise self._error(f"{key!r} is not a valid label key")
        return key

    def _optional_value(self) -> str:
        """Parses a value that may be empty."""
        if not self._is_at_word:
            if self._current in {",", _END}:
                return ""
            raise self._unexpected("a label value")
        return self._value()

    def _value(self) -> str:
        value = self._take()
        if not _is_word(value):
            raise self._error(f"{value!r} is not a valid label value")
        return value

    def _values(self) -> frozenset[str]:
        """Parses a list of values in parentheses, each of which may be empty."""
        if self._current != "(":
            raise self._unexpected("'('")
        values: set[str] = set()
        separator = ","
        while separator == ",":
            self._take()
            values.add(self._value() if self._is_at_word else "")
            separator = self._current
        if separator != ")":
            raise self._unexpected("',' or ')'")
        self._take()
        return frozenset(values)

    def _bound(self) -> int:
        bound = _int64(value := self._optional_value())
        if bound is None:
            raise self._error(f"{value!r} is not an integer of 64 bits")
        return bound

    @property
    def _current(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else _END

    @property
    def _is_at_word(self) -> bool:
        return self._current != _END and self._current not in _SYMBOLS

    def _take(self) -> str:
        token = self._current
        self._next += 1
        return token

    def _unexpected(self, expected: str) -> ValueError:
        found = repr(self._current) if self._current else "the end"
        return self._error(f"{expected} is expected instead of {found}")

    def _error(self, problem: str) -> ValueError:
        return ValueError(f"{self._text!r} is not a label selector: {problem}")


def _is_word(text: str) -> bool:
    return len(text) <= _WORD_LENGTH and _WORD.fullmatch(text) is not None


def _int64(text: str) -> int | None:
    """Parses a 64-bit integer as `strconv.ParseInt` of Go does; returns None for other text."""
    # int() raises an error for thousands of digits, which a label cannot have.
    if len(text) > _WORD_LENGTH or not _INTEGER.fullmatch(text):
        return None
    return number if _INT64_MIN <= (number := int(text)) <= _INT64_MAX else None
