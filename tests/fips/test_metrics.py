"""The operator of the image for FIPS serves metrics over TLS, and its reviews of tokens work."""

import pytest

from monitoring.test_secure_metrics import accounts, options, test_operator_serves_metrics_only_to_users_with_the_right

__all__ = ["accounts", "options", "test_operator_serves_metrics_only_to_users_with_the_right"]

pytestmark = pytest.mark.usefixtures("statefulroute")
