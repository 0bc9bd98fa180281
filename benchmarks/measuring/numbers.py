"""Figures as people read them."""


def format_number(value: float) -> str:
    """A figure as a table has it: three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"  # noqa: PLR2004 - digits
