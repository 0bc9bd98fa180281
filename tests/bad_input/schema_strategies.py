"""Hypothesis strategies for values that match or violate a structural schema."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

Schema = Mapping[str, Any]

INT32_MAX = 2**31 - 1
_NUMBERS = st.one_of(
    st.integers(-2, 12), st.sampled_from([-(2**31), INT32_MAX, 65_535, 65_536]), st.integers(-(2**31), INT32_MAX)
)
_TEXTS = ["", "game", "alice", "Alice", "a.b", "game-0", "-", "x-61", "a\0", "a\u202eb", "../..", "{{.}}", "\U0001f98a"]
_TIMES = ["2026-01-01T00:00:00Z", "2099-12-31T23:59:60Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]

#: Any JSON value.
_ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


def matching_schema(schema: Schema) -> st.SearchStrategy[Any]:
    """Returns values that match a schema; they may violate its CEL rules."""
    return _strategy(schema, is_violating=False)


def violating_schema(schema: Schema) -> st.SearchStrategy[Any]:
    """Returns values in which any part is sometimes an arbitrary JSON value."""
    return _strategy(schema, is_violating=True)


def generated(strategy: st.SearchStrategy[Any], number: int, start: int = 0) -> list[Any]:
    """Returns `number` values of a strategy. The same start generates the same values."""
    values: list[Any] = []

    @seed(start)
    @settings(
        max_examples=number,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def keep(value: Any) -> None:
        values.append(value)

    keep()
    return values[:number]


def _strategy(schema: Schema, *, is_violating: bool) -> st.SearchStrategy[Any]:
    matching = _matching(schema, is_violating=is_violating)
    if not is_violating:
        return matching
    return st.integers(0, 19).flatmap(lambda chance: _ANYTHING if chance == 0 else matching)


def _matching(schema: Schema, *, is_violating: bool) -> st.SearchStrategy[Any]:
    if schema.get("x-kubernetes-int-or-string"):
        return st.one_of(_NUMBERS, _text(schema))
    match schema.get("type"):
        case "object":
            return _object(schema, is_violating=is_violating)
        case "array":
            return st.lists(
                _strategy(schema["items"], is_violating=is_violating), max_size=min(3, schema.get("maxItems", 3))
            )
        case "integer":
            return _NUMBERS
        case "boolean":
            return st.booleans()
        case _:
            return _text(schema)


def _object(schema: Schema, *, is_violating: bool) -> st.SearchStrategy[Any]:
    fields = {name: _strategy(field, is_violating=is_violating) for name, field in schema.get("properties", {}).items()}
    required = {name: fields.pop(name) for name in schema.get("required", ())}
    matching = st.fixed_dictionaries(required, optional=fields)
    if not is_violating:
        return matching
    unknown = st.one_of(st.just({}), st.just({}), st.dictionaries(st.text(max_size=8), _ANYTHING, max_size=1))
    return st.builds(lambda fields, unknown_fields: {**fields, **unknown_fields}, matching, unknown)


def _text(schema: Schema) -> st.SearchStrategy[str]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("format") == "date-time":
        times = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.isoformat())
        return st.one_of(st.sampled_from(_TIMES), times)
    max_length = schema.get("maxLength", 64)
    random_text = st.text(max_size=min(max_length, 64))
    return st.one_of(
        st.sampled_from([text for text in _TEXTS if len(text) <= max_length]), random_text, st.just("a" * max_length)
    )
