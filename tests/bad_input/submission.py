"""Objects that are thrown at the API server, and what it says to them."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from bad_input.schema_strategies import Schema
from statefulroute.api.group import API_VERSION
from support.objects import encoded_name
from support.service import Service

CRDS = Path(__file__).parents[2] / "crds"

#: How many objects each test throws.
OBJECT_COUNT = int(os.environ.get("STATEFULROUTE_BAD_OBJECTS", "200"))

#: How many are there at the same time.
BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class Submission:
    """What the API server has said to an object.

    Attributes:
        item: the object.
        code: the HTTP status.
        response: the answer: the object as it was stored, or a Status.
    """

    item: dict[str, Any]
    code: int
    response: dict[str, Any]

    @property
    def name(self) -> str:
        """The name that the object was stored under."""
        return str(self.response["metadata"]["name"])


def schema_of(plural: str) -> Schema:
    """The schema of a kind, as it is shipped."""
    definition = yaml.safe_load((CRDS / f"{plural}.yaml").read_text(encoding="utf-8"))
    (version,) = definition["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def named(kind: str, spec: Any, name: object) -> dict[str, Any]:
    """An object of ours."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def nearly_valid(right: st.SearchStrategy[dict[str, Any]], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Specs that are right but for two fields at the most."""
    fields = other.filter(lambda made: isinstance(made, dict)).map(lambda made: dict(list(made.items())[:2]))
    return st.builds(lambda good, odd: {**good, **odd}, right, st.one_of(st.just({}), fields))


def valid_links() -> st.SearchStrategy[dict[str, Any]]:
    """Specs of links that break no rule."""
    required = {"routeName": st.just("game"), "uid": st.from_regex(r"[a-z]{8}", fullmatch=True)}
    index, ttl = st.integers(0, 5), st.integers(60, 6000)
    return st.fixed_dictionaries(required, optional={"podIndex": index, "ttlSeconds": ttl})


def link_names(spec: Any) -> st.SearchStrategy[str]:
    """Names for a link: mostly the one that its spec demands, else any that an object can have."""
    route, uid = (str(spec.get(field)) if isinstance(spec, dict) else "" for field in ("routeName", "uid"))
    right = st.sampled_from((f"{route}.{uid}", encoded_name(route, uid)))
    return st.one_of(right, right, st.from_regex(r"[a-z0-9]{8}(\.[a-z0-9]{1,4})?", fullmatch=True))


def submit(game: Service, plural: str, item: Any, *, dry_run: bool = False) -> Submission:
    """Send an object as it is."""
    client = game.client.http
    url = f"{client.url}/apis/{API_VERSION}/namespaces/{game.namespace}/{plural}{'?dryRun=All' if dry_run else ''}"
    answer = client.session.post(
        url, data=json.dumps(item).encode(), headers={"Content-Type": "application/json"}, timeout=60
    )
    return Submission(item, answer.status_code, answer.json())
