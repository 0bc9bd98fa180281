"""Tests where a driver reads the namespace of its pod."""

from pathlib import Path

import pytest

from statefulroute.domain.errors import ErrorCode, InvalidParameterError
from statefulroute.driver.environment import namespace_of_pod


def test_variable_takes_precedence_over_the_service_account(tmp_path: Path) -> None:
    file = tmp_path / "namespace"
    file.write_text("mounted\n", encoding="utf-8")
    assert namespace_of_pod({"POD_NAMESPACE": "named"}, file) == "named"
    assert namespace_of_pod({}, file) == "mounted"
    assert namespace_of_pod({"POD_NAMESPACE": ""}, file) == "mounted"


def test_error_names_the_variable_to_set(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match=r"^POD_NAMESPACE must be set outside of a pod") as refused:
        namespace_of_pod({}, tmp_path / "namespace")
    assert refused.value.code is ErrorCode.INVALID_PARAMETER
