"""Numbers in bodies: an integer is one of JSON Schema, which may be written with a decimal point."""

import msgspec
import pytest

from statefulroute.rest.bodies import decode
from statefulroute.rest.problems import ProblemError
from statefulroute.sidecar.answers import LoadState

DECODER = msgspec.json.Decoder(LoadState)


@pytest.mark.parametrize("literal", ["1931", "1931.0", "1931.000", "1.931e3"])
def test_integer_may_be_written_as_a_decimal(literal: str) -> None:
    assert decode(f'{{"loadState": {literal}}}'.encode(), DECODER) == LoadState(1931)


@pytest.mark.parametrize("literal", ["1.5", "1e-1", '"1"', "1e400", "1e300", "NaN", "true", "null"])
def test_other_values_are_refused(literal: str) -> None:
    with pytest.raises(ProblemError):
        decode(f'{{"loadState": {literal}}}'.encode(), DECODER)
