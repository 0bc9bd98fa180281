"""Thousandths: loads are integers of them, because Kubernetes' API conventions forbid floats."""

#: Thousandths of a unit of load. A weighted load has at most two decimals.
MILLI = 1_000


def format_milli(milli: int) -> str:
    """Returns thousandths as the shortest decimal number: 3700 is `3.7`."""
    whole, rest = divmod(milli, MILLI)
    return f"{whole}.{rest:03}".rstrip("0") if rest else str(whole)
