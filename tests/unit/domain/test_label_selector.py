"""Label selectors as objects: they select what the same selector as text selects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.label_selector import LabelSelector, MatchExpression, label_selector
from statefulroute.domain.selector import Selector

REQUIREMENTS = ["a=b", "a=", "a!=b", "c in (x,y)", "c in (x)", "c notin (x,)", "d", "!d", "e in ()", "e notin ()"]


@given(st.lists(st.sampled_from(REQUIREMENTS)))
def test_text_and_object_select_the_same(requirements: list[str]) -> None:
    selector = Selector.parse(",".join(requirements))
    assert label_selector(selector).parse() == selector


def test_object_is_as_people_write_it() -> None:
    assert label_selector(Selector.parse("app=game,tier in (b,a),!canary,zone")) == LabelSelector(
        {"app": "game"},
        (
            MatchExpression("canary", "DoesNotExist"),
            MatchExpression("tier", "In", ("a", "b")),
            MatchExpression("zone", "Exists"),
        ),
    )


def test_comparison_cannot_be_written_as_an_object() -> None:
    with pytest.raises(ValueError, match="compares numbers"):
        label_selector(Selector.parse("a>1"))


def test_operator_of_a_later_version_is_an_error() -> None:
    with pytest.raises(ValueError, match="'Near' is not an operator"):
        LabelSelector(match_expressions=(MatchExpression("a", "Near", ("b",)),)).parse()
