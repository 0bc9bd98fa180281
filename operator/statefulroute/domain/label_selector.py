"""Label selectors as objects, as the specs of workloads and PodDisruptionBudgets contain them."""

import msgspec

from statefulroute.domain.selector import Selector, format_selector


class MatchExpression(msgspec.Struct, frozen=True, omit_defaults=True):
    """A requirement of a label selector."""

    key: str
    operator: str
    values: tuple[str, ...] | None = None


class LabelSelector(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A `LabelSelector` of the Kubernetes API."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[MatchExpression, ...] | None = None

    @property
    def text(self) -> str:
        """The selector as text, as a Scale contains it.

        Raises:
            ValueError: an operator is of a later version.
        """
        requirements = ((each.key, each.operator, each.values or ()) for each in self.match_expressions or ())
        return format_selector(self.match_labels or {}, requirements)

    def parse(self) -> Selector:
        """Returns the selector, which matches labels.

        Raises:
            ValueError: the selector is invalid.
        """
        return Selector.parse(self.text)


def label_selector(selector: Selector) -> LabelSelector:
    """Returns a selector as an object.

    Raises:
        ValueError: the selector compares numbers, which an object cannot express.
    """
    if selector.comparisons:
        raise ValueError("a selector that compares numbers cannot be written as an object")
    labels, expressions = dict[str, str](), list[MatchExpression]()
    for key, values, is_in in sorted(selector.memberships, key=lambda each: (each.key, each.is_in)):
        present = tuple(sorted(value for value in values if value is not None))
        if not present:
            expressions.append(MatchExpression(key, "DoesNotExist" if is_in else "Exists"))
        elif is_in and len(present) == 1 and key not in labels:
            labels[key] = present[0]
        else:
            expressions.append(MatchExpression(key, "In" if is_in else "NotIn", present))
    return LabelSelector(labels or None, tuple(expressions) or None)
