"""An API server that judges objects and stores nothing: its messages as kubectl prints them, without its processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from support.api_messages import comparable
from support.api_user import APIResponse, APIUser
from support.kubectl import Object

_PLURALS = {"PodLink": "podlinks", "StatefulRoute": "statefulroutes"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The response to a dry run.

    Attributes:
        response: the response.
    """

    response: APIResponse

    @property
    def object(self) -> dict[str, Any]:
        """The object as it would be stored."""
        return dict(self.response.expect_success())

    @property
    def errors(self) -> tuple[str, ...]:
        """The messages about an invalid object, each once, with the path of its field, as tests compare them."""
        if self.response.object.get("reason") != "Invalid":
            return ()
        causes = self.response.object["details"]["causes"]
        return comparable(*(f"{cause.get('field', '')}: {cause['message']}" for cause in causes))

    def expect_success(self) -> Self:
        """Returns this judgement if the object was accepted, and fails otherwise."""
        self.response.expect_success()
        return self


class Judge:
    """Creates objects by dry runs as kubectl does: with strict validation of fields, and whole numbers as integers.

    Args:
        user: the user who sends the requests.
    """

    def __init__(self, user: APIUser) -> None:
        self._user = user
        self.namespace = user.namespace

    def dry_run(self, item: Object) -> Judgement:
        """Creates a new object by a dry run, which stores nothing."""
        path = f"{_PLURALS[item['kind']]}?dryRun=All&fieldValidation=Strict"
        return Judgement(self._user.request("POST", path, _with_integers(item)))


def _with_integers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_integers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_integers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
