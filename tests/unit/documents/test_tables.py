"""The tables of the documentation site, as a phone shows them."""

import pytest

from docsite.tables import is_stacked, on_page_content

SENTENCE = "the pod is not Ready, and another one does not have the state"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([["you see", "because", "do"], ["503 for a user", SENTENCE, SENTENCE]], True),
        ([["reason", "meaning"], ["UpdateStrategyNotOnDeleteWhenItRollsOut", SENTENCE]], True),
        ([["reason", "meaning"], ["Paused", SENTENCE]], False),
        ([["links", *["a second"] * 9], ["1,000", *["15,474"] * 9]], False),
        ([["only", "headers"]], False),
    ],
)
def test_a_table_is_stacked_if_it_is_too_wide_for_a_phone_and_its_values_are_read_one_by_one(
    rows: list[list[str]], expected: bool
) -> None:
    assert is_stacked(rows) == expected


def test_cells_of_a_stacked_table_name_their_column() -> None:
    second = '<th style="text-align: right">"why" &amp; <em>how</em></th>'
    head = f"<table>\n<thead>\n<tr>\n<th>you see</th>\n{second}\n</tr>\n</thead>"
    body = f"<tr>\n<td>A{'a' * 40}</td>\n<td style='text-align: right'>{SENTENCE}</td>\n</tr>\n</tbody>\n</table>"
    marked = on_page_content(f"{head}\n<tbody>\n{body}")
    assert marked.startswith("<table data-stacked>\n<thead>\n<tr>\n<th>you see</th>")
    assert '<td data-label="you see">A' in marked
    assert "<td style='text-align: right' data-label=\"&quot;why&quot; &amp; how\">the pod is not Ready" in marked


def test_an_empty_corner_is_no_header() -> None:
    table = "<table><thead><tr><th></th><th>links</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table>"
    assert on_page_content(table) == table.replace("<th></th>", "<td></td>")


def test_short_names_with_hyphens_are_not_broken() -> None:
    code = "<code>kubectl drain --shutdown; a-name-of-more-than-24-characters</code>"
    kept = '<code>kubectl drain <span class="name">--shutdown</span>; a-name-of-more-than-24-characters</code>'
    block = "<pre><code>kubectl drain --shutdown</code></pre>"
    assert on_page_content(code + block) == kept + block
