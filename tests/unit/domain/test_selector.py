"""Label selectors: parsing, matching and errors. The cases follow the rules of Kubernetes."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.selector import Selector

X63 = "x" * 63

MATCHES: list[tuple[str, Mapping[str, str], bool]] = [
    ("a=b", {"a": "b"}, True),
    ("a=b", {"a": "b", "c": "d"}, True),
    ("a=b", {"a": "c"}, False),
    ("a=b", {}, False),
    ("a==b", {"a": "b"}, True),
    ("a==b", {"a": ""}, False),
    ("a!=b", {"a": "b"}, False),
    ("a!=b", {"a": "c"}, True),
    ("a!=b", {}, True),
    ("a=", {"a": ""}, True),
    ("a=", {"a": "b"}, False),
    ("a=", {}, False),
    ("a==", {"a": ""}, True),
    ("a!=", {"a": ""}, False),
    ("a!=", {}, True),
    ("a=,b", {"a": "", "b": ""}, True),
    ("a=,b", {"a": ""}, False),
    ("a in (x,y)", {"a": "x"}, True),
    ("a in (x,y)", {"a": "y"}, True),
    ("a in (x,y)", {"a": "z"}, False),
    ("a in (x,y)", {}, False),
    ("a in(x)", {"a": "x"}, True),
    ("a in ()", {"a": ""}, True),
    ("a in ()", {"a": "x"}, False),
    ("a in ()", {}, False),
    ("a in (x,)", {"a": ""}, True),
    ("a in (,x)", {"a": ""}, True),
    ("a in (x,,y)", {"a": ""}, True),
    ("a in (,,)", {"a": ""}, True),
    ("a notin (x,y)", {"a": "x"}, False),
    ("a notin (x,y)", {"a": "z"}, True),
    ("a notin (x,y)", {}, True),
    ("a notin ()", {"a": ""}, False),
    ("a notin ()", {}, True),
    ("a", {"a": ""}, True),
    ("a", {"b": "a"}, False),
    ("!a", {"a": ""}, False),
    ("!a", {"b": "a"}, True),
    ("! a", {}, True),
    ("a>1", {"a": "2"}, True),
    ("a>1", {"a": "1"}, False),
    ("a>1", {}, False),
    ("a>1", {"a": "many"}, False),
    ("a>1", {"a": "9223372036854775807"}, True),
    ("a>1", {"a": "9223372036854775808"}, False),
    ("a<10", {"a": "9"}, True),
    ("a<10", {"a": "10"}, False),
    ("a<10", {"a": "1.5"}, False),
    ("a < 010", {"a": "-1"}, True),
    ("a=b,a!=b", {"a": "b"}, False),
    ("a=b,c==d,e!=f,g in (x,y),h notin (x),i,!j", {"a": "b", "c": "d", "g": "y", "i": ""}, True),
    ("a=b,c==d,e!=f,g in (x,y),h notin (x),i,!j", {"a": "b", "c": "d", "g": "y", "i": "", "h": "x"}, False),
    (" \t\r\na =\tb\n,c\rin ( x , y ) ", {"a": "b", "c": "x"}, True),
    ("in in (in,notin),notin=in", {"in": "notin", "notin": "in"}, True),
    ("in,!notin", {"in": ""}, True),
    ("app.kubernetes.io/name=game", {"app.kubernetes.io/name": "game"}, True),
    ("app.kubernetes.io/name=game", {"name": "game"}, False),
    ("A_b.c-D=E_f.g-H", {"A_b.c-D": "E_f.g-H"}, True),
    ("0=0", {"0": "0"}, True),
    (f"{'p' * 253}/{X63}={X63}", {f"{'p' * 253}/{X63}": X63}, True),
    ("", {}, True),
    ("", {"a": "b"}, True),
    (" \t\r\n", {"a": "b"}, True),
]


@pytest.mark.parametrize(("text", "labels", "expected"), MATCHES)
def test_selector_matches_as_in_kubernetes(text: str, labels: Mapping[str, str], expected: bool) -> None:
    assert Selector.parse(text).matches(labels) is expected


INVALID = {
    ",": "a label key is expected instead of ','",
    "a,": "a label key is expected instead of the end",
    ",a": "a label key is expected instead of ','",
    "a,,b": "a label key is expected instead of ','",
    "!": "a label key is expected instead of the end",
    "!!a": "a label key is expected instead of '!'",
    "=b": "a label key is expected instead of '='",
    "(a)": "a label key is expected instead of '('",
    "!a=b": "',' or the end is expected instead of '='",
    "a b": "an operator is expected instead of 'b'",
    "a!": "an operator is expected instead of '!'",
    "a IN (x)": "an operator is expected instead of 'IN'",
    "a(x)": "an operator is expected instead of '('",
    "a=b c": "',' or the end is expected instead of 'c'",
    "a=b=c": "',' or the end is expected instead of '='",
    "a===b": "a label value is expected instead of '='",
    "a=!b": "a label value is expected instead of '!'",
    "a=(b)": "a label value is expected instead of '('",
    "a>=1": "a label value is expected instead of '='",
    "a in": "'(' is expected instead of the end",
    "a in x": "'(' is expected instead of 'x'",
    "a in (": "',' or ')' is expected instead of the end",
    "a in (x": "',' or ')' is expected instead of the end",
    "a in (x,": "',' or ')' is expected instead of the end",
    "a in (x y)": "',' or ')' is expected instead of 'y'",
    "a in (x=y)": "',' or ')' is expected instead of '='",
    "a in (x))": "',' or the end is expected instead of ')'",
    "a in (x)b": "',' or the end is expected instead of 'b'",
    "a>": "'' is not an integer of 64 bits",
    "a>b": "'b' is not an integer of 64 bits",
    "a<9223372036854775808": "'9223372036854775808' is not an integer of 64 bits",
    "a>-1": "'-1' is not a valid label value",
    "-a=b": "'-a' is not a valid label key",
    "a.": "'a.' is not a valid label key",
    "ä=b": "'ä' is not a valid label key",
    "a\u00a0=b": r"'a\xa0' is not a valid label key",
    "a\0=b": r"'a\x00' is not a valid label key",
    "/a": "'/a' is not a valid label key",
    "p/": "'p/' is not a valid label key",
    "p/q/a": "'p/q/a' is not a valid label key",
    "P/a": "'P/a' is not a valid label key",
    "p..q/a": "'p..q/a' is not a valid label key",
    f"{X63}x": f"'{X63}x' is not a valid label key",
    f"{'p' * 254}/a": f"'{'p' * 254}/a' is not a valid label key",
    "a=-b": "'-b' is not a valid label value",
    "a=b/c": "'b/c' is not a valid label value",
    "a=ü": "'ü' is not a valid label value",
    "a in (x,y_)": "'y_' is not a valid label value",
    f"a={X63}x": f"'{X63}x' is not a valid label value",
}


@pytest.mark.parametrize(("text", "problem"), INVALID.items(), ids=map(repr, INVALID))
def test_error_explains_an_invalid_selector(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match="is not a label selector: ") as error:
        Selector.parse(text)
    assert str(error.value) == f"{text!r} is not a label selector: {problem}"


@pytest.mark.parametrize(
    ("text", "expected"), [("", True), ("  ", True), ("a", False), ("!a", False), ("a>1", False), ("a!=b", False)]
)
def test_only_a_selector_without_requirements_is_empty(text: str, expected: bool) -> None:
    assert Selector.parse(text).is_empty is expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a=b,c in (x,y)", "c in (y,x,y) , a == b", True),
        ("a=b", "a in (b)", True),
        ("a=b", "a!=b", False),
        ("a", "!a", False),
        ("a>1", "a<1", False),
        ("a>1", "a>01", True),
    ],
)
def test_selectors_with_the_same_requirements_are_equal(first: str, second: str, expected: bool) -> None:
    assert (Selector.parse(first) == Selector.parse(second)) is expected


KEYS = st.sampled_from(["a", "b", "in", "notin", "example.com/a"])
VALUES = st.sampled_from(["", "x", "y", "in", "7"])
LABELS = st.dictionaries(KEYS, VALUES)
BLANKS = st.text(" \t\r\n", max_size=2)


@st.composite
def one_requirement(draw: st.DrawFn) -> tuple[str, Mapping[str, frozenset[str | None]]]:
    """Returns a requirement as text, and the values of VALUES, or None for absence, that it allows for its key."""
    key, values = draw(KEYS), draw(st.lists(VALUES, min_size=1, max_size=3))
    all_values: frozenset[str | None] = frozenset({None, "", "x", "y", "in", "7"})
    first = frozenset(values[:1])
    before, between, after = draw(BLANKS), draw(BLANKS), draw(BLANKS)
    listed = f"{between}({after}{f'{before},{after}'.join(values)}{before})"
    text, allowed = draw(
        st.sampled_from(
            [
                (f"{key}{between}={after}{values[0]}", first),
                (f"{key}{between}=={after}{values[0]}", first),
                (f"{key}{between}!={after}{values[0]}", all_values - first),
                (f"{key} in{listed}", frozenset(values)),
                (f"{key}\tnotin{listed}", all_values - frozenset(values)),
                (key, all_values - {None}),
                (f"!{between}{key}", frozenset({None})),
            ]
        )
    )
    return f"{before}{text}{after}", {key: frozenset(allowed)}


@given(st.lists(one_requirement(), max_size=4), LABELS)
def test_selector_matches_if_all_requirements_are_met(
    requirements: list[tuple[str, Mapping[str, frozenset[str | None]]]], labels: dict[str, str]
) -> None:
    selector = Selector.parse(",".join(text for text, _ in requirements))
    expected = all(labels.get(key) in allowed for _, constraint in requirements for key, allowed in constraint.items())
    assert selector.matches(labels) is expected
    assert selector.is_empty is (not requirements)


@given(st.lists(st.sampled_from([*"ab=!(),<> \t1-./", "in", "notin"]), max_size=20).map("".join))
def test_any_text_is_a_selector_or_an_error(text: str) -> None:
    try:
        Selector.parse(text).matches({"a": "b"})
    except ValueError as error:
        assert "is not a label selector" in str(error)  # noqa: PT017 - some texts are selectors


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("app=game", ("app", "game")),
        ("tier=b,app=game", ("app", "game")),
        ("app in (game)", ("app", "game")),
        ("app in (game,chat)", None),
        ("app!=game", None),
        ("app", None),
        ("!app", None),
        ("size>3", None),
        ("", None),
    ],
)
def test_required_label_is_one_that_every_selected_object_has(text: str, label: tuple[str, str] | None) -> None:
    assert Selector.parse(text).required_label == label
