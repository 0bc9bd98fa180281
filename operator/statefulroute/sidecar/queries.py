"""Reads the parameters in queries."""

from collections.abc import Iterable

from aiohttp import web

from statefulroute.domain.errors import InvalidParameterError

#: An integer of the API has at most as many digits; longer ones are refused before they are parsed.
_MAX_DIGITS = 10

#: The values of the parameter `consistency`.
CONSISTENCIES = ("cached", "strong")


class Query:
    """The query of a request. Unknown and repeated parameters are refused: a misspelled one would have no effect.

    Args:
        request: the request.
        names: the names of the known parameters.
        repeated: those that may be repeated.

    Raises:
        InvalidParameterError: a parameter is unknown, or repeated.
    """

    def __init__(self, request: web.BaseRequest, names: Iterable[str] = (), *, repeated: Iterable[str] = ()) -> None:
        self._values = request.query
        names, repeated = tuple(names), tuple(repeated)
        for name in self._values:
            if name not in names and name not in repeated:
                known = ", ".join((*names, *repeated)) or "none"
                raise InvalidParameterError(name, f"is not a parameter of this operation, which has: {known}")
            if name not in repeated and len(self._values.getall(name)) > 1:
                raise InvalidParameterError(name, "must not be repeated")

    def text(self, name: str) -> str | None:
        """Returns a parameter, or None."""
        return self._values.get(name)

    def texts(self, name: str) -> list[str] | None:
        """Returns the values of a parameter, or None."""
        return self._values.getall(name, None)

    def integer(self, name: str) -> int | None:
        """Returns a parameter that is a whole number, or None.

        Raises:
            InvalidParameterError: it is not one.
        """
        text = self._values.get(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
            raise InvalidParameterError(name, "must be a whole number")
        return int(text)

    def choice(self, name: str, choices: Iterable[str]) -> str | None:
        """Returns a parameter that has one of some values, or None.

        Raises:
            InvalidParameterError: it has another one.
        """
        text = self._values.get(name)
        if text is not None and text not in (known := tuple(choices)):
            raise InvalidParameterError(name, f"must be one of {', '.join(known)}")
        return text
