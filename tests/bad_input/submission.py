"""Submits invalid objects to the API server."""

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

#: The number of objects that each test submits.
OBJECT_COUNT = int(os.environ.get("STATEFULROUTE_BAD_OBJECTS", "200"))

#: The number of objects that exist at the same time.
BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class Submission:
    """The response of the API server to an object.

    Attributes:
        item: the object.
        code: the HTTP status.
        response: the stored object, or a Status.
    """

    item: dict[str, Any]
    code: int
    response: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of the stored object."""
        return str(self.response["metadata"]["name"])


def schema_of(plural: str) -> Schema:
    """Returns the schema of a kind in its CRD."""
    definition = yaml.safe_load((CRDS / f"{plural}.yaml").read_text(encoding="utf-8"))
    (version,) = definition["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def named(kind: str, spec: Any, name: object) -> dict[str, Any]:
    """Returns an object of one of the two kinds."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def nearly_valid(
    valid: st.SearchStrategy[dict[str, Any]], replacements: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    """Returns valid specs in which at most two fields are replaced."""
    fields = replacements.filter(lambda value: isinstance(value, dict)).map(lambda value: dict(list(value.items())[:2]))
    return st.builds(lambda spec, fields: {**spec, **fields}, valid, st.one_of(st.just({}), fields))


def valid_links() -> st.SearchStrategy[dict[str, Any]]:
    """Returns valid specs of links."""
    required = {"routeName": st.just("game"), "uid": st.from_regex(r"[a-z]{8}", fullmatch=True)}
    index, ttl = st.integers(0, 5), st.integers(60, 6000)
    return st.fixed_dictionaries(required, optional={"podIndex": index, "ttlSeconds": ttl})


def link_names(spec: Any) -> st.SearchStrategy[str]:
    """Returns names for a link: mostly the required one, otherwise any valid object name."""
    route, uid = (str(spec.get(field)) if isinstance(spec, dict) else "" for field in ("routeName", "uid"))
    valid = st.sampled_from((f"{route}.{uid}", encoded_name(route, uid)))
    return st.one_of(valid, valid, st.from_regex(r"[a-z0-9]{8}(\.[a-z0-9]{1,4})?", fullmatch=True))


def submit(game: Service, plural: str, item: Any, *, dry_run: bool = False) -> Submission:
    """Creates an object as it is."""
    client = game.client.http
    url = f"{client.url}/apis/{API_VERSION}/namespaces/{game.namespace}/{plural}{'?dryRun=All' if dry_run else ''}"
    response = client.session.post(
        url, data=json.dumps(item).encode(), headers={"Content-Type": "application/json"}, timeout=60
    )
    return Submission(item, response.status_code, response.json())
