"""JSONPath templates; `tests/cli` compares the outputs of these and others with those of kubectl."""

import pytest

from statefulroute.cli.jsonpath import JSONPathError, as_go_text, as_json, as_text, find_results, parse
from statefulroute.cli.jsonpath import relaxed_expression as relaxed
from support.jsonpath_cases import INVALID_TEMPLATES, ROUTES, TEMPLATES


@pytest.mark.parametrize(("template", "output"), TEMPLATES.items(), ids=TEMPLATES)
def test_template_prints_the_output_of_kubectl(template: str, output: str) -> None:
    assert as_text(find_results(parse(template), ROUTES)) == output


def test_booleans_are_printed_and_compared() -> None:
    pods = {"pods": [{"name": "game-0", "loadStale": True}, {"name": "game-1", "loadStale": False}, {"name": "game-2"}]}
    for template, output in {
        "{.pods[*].loadStale}": "true false",
        "{.pods[?(@.loadStale==true)].name}": "game-0",
        "{.pods[?(@.loadStale!=true)].name}": "game-1",
    }.items():
        assert as_text(find_results(parse(template), pods)) == output


@pytest.mark.parametrize(("template", "message"), INVALID_TEMPLATES.items(), ids=INVALID_TEMPLATES)
def test_invalid_template_is_reported_with_the_message_of_kubectl(template: str, message: str) -> None:
    with pytest.raises(JSONPathError) as raised:
        as_text(find_results(parse(template), ROUTES))
    assert str(raised.value) == message


def test_json_output_is_an_array_for_each_path() -> None:
    template = parse("{.items[*].metadata.name}{.items[0].spec.tags}")
    assert as_json(find_results(template, ROUTES)).split() == [
        *("[", '"chat",', '"game",', '"lobby"', "]"),
        *("[", "[", '"b",', '"c"', "]", "]"),
    ]


@pytest.mark.parametrize(
    ("path", "expression"),
    [(path, "{.metadata.name}") for path in ("metadata.name", ".metadata.name", "{metadata.name}", "{.metadata.name}")],
)
def test_path_without_braces_or_dot_is_completed(path: str, expression: str) -> None:
    assert relaxed(path) == expression


@pytest.mark.parametrize("path", ["{.a}{.b}", "", "{.a"])
def test_more_than_a_path_is_refused(path: str) -> None:
    with pytest.raises(JSONPathError, match="unexpected path string"):
        relaxed(path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": [1, True, None], "a": {"x": "y z"}}, "map[a:map[x:y z] b:[1 true <nil>]]"),
        (1.5, "1.5"),
        (1e20, "100000000000000000000"),
        (2.0, "2"),
        (1e21, "1e+21"),
        ([], "[]"),
    ],
    ids=str,
)
def test_values_of_custom_columns_are_printed_as_by_go(value: object, text: str) -> None:
    assert as_go_text(value) == text
