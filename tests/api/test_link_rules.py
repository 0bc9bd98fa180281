"""The validation rules of PodLinks in the API server."""

import pytest

from support.judge import Judge
from support.link_rules import LINK_RULES, LinkRuleCase
from support.objects import pod_link


@pytest.mark.parametrize("case", LINK_RULES, ids=str)
def test_api_server_returns_the_message_of_the_violated_rule(judge: Judge, case: LinkRuleCase) -> None:
    errors = judge.dry_run(pod_link(case.name, **case.spec)).errors
    if case.message is None:
        assert errors == ()
    elif case.is_schema_error:
        assert errors
    else:
        (error,) = errors
        assert error.endswith(case.message)
