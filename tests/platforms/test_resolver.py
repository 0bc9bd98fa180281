"""The resolver does its work on another platform. No operator, which would change the links, runs beside it."""

import pytest

from fips.test_resolver import test_resolver_answers_over_tls

__all__ = ["test_resolver_answers_over_tls"]

pytestmark = pytest.mark.usefixtures("statefulroute")
