"""Handles look-ups and bindings: which pod holds a uid, and the pod's address."""

from enum import StrEnum

import msgspec
from aiohttp import hdrs, web

from statefulroute.domain.errors import InvalidParameterError, PodNotAvailableError
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.validation import validate_uid
from statefulroute.resolver.answers import (
    MAX_BATCH,
    BatchAnswer,
    BatchRequest,
    BindRequest,
    LinkAnswer,
    entity_tag,
    link_answer,
    route_answer,
)
from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.binder import Binder
from statefulroute.resolver.cache import ResolverCache, slot_not_bound
from statefulroute.resolver.http.callers import HTTPCaller
from statefulroute.resolver.http.paths import RequestPath
from statefulroute.resolver.lookup_holder import LookupHolder
from statefulroute.rest.bodies import decode, read_body
from statefulroute.rest.problems import EXPECTED_ERRORS, Problem, ProblemError, ProblemKind, not_linked, problem_of

_encode = msgspec.json.Encoder().encode
_bind_decoder = msgspec.json.Decoder(BindRequest)
_batch_decoder = msgspec.json.Decoder(BatchRequest)
_EMPTY_BIND_REQUEST = BindRequest()


class Consistency(StrEnum):
    """The source of a link."""

    CACHED = "cached"
    """The resolver's cache; the response has its age."""
    STRONG = "strong"
    """The API server."""


class Lookups:
    """Handles look-ups and bindings.

    Args:
        cache: the resolver's cache.
        binder: binds users, and reads links from the API server.
        authenticator: limits the rates of callers.
        holder: holds requests of users whose links have no pods; None holds none.
    """

    def __init__(
        self,
        cache: ResolverCache,
        binder: Binder,
        authenticator: Authenticator,
        holder: LookupHolder | None = None,
    ) -> None:
        self._cache = cache
        self._binder = binder
        self._authenticator = authenticator
        self._holder = holder

    async def get_link(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Returns the pod that holds a uid."""
        key, uid = path.route, path.uid
        strong = is_strong(request)
        link = await self._binder.read_bound(key, uid) if strong else self._cache.bound_link(key, uid)
        if link is not None and link.pod is None and self._holder is not None:
            link = await self._holder.wait(link, HTTPCaller(request, path))
        if link is None:
            raise self._not_linked(key, uid, is_fresh=strong)
        body = _encode(link_answer(uid, link, self._cache.address(link)))
        return self._json_response(request, key, body, is_fresh=strong)

    async def bind_link(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Binds a uid to the best pod, unless it is bound; returns the pod that holds it."""
        key, uid = path.route, path.uid
        body_request = decode_bind_request(await read_body(request))
        strong = is_strong(request)
        if strong:
            link = None if self._cache.slot(key, uid) is None else await self._read_slotted(key, uid)
        else:
            link = self._cache.bound_link(key, uid)
        if link is None or link.pod is None:
            ttl_seconds = None if body_request.ttl_seconds is None else int(body_request.ttl_seconds)
            if self._holder is None:
                link = await self._binder.bind(key, uid, ttl_seconds=ttl_seconds)
            else:
                link = await self._holder.bind(key, uid, HTTPCaller(request, path), ttl_seconds=ttl_seconds)
            strong = True
        else:
            self._binder.renew_if_due(link)
        body = _encode(link_answer(uid, link, self._cache.address(link)))
        return self._json_response(request, key, body, is_fresh=strong)

    async def batch_get(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Returns the pods that hold each of many uids. A batch is not held: the links without a pod are problems."""
        key = path.route
        batch = decode_batch_request(await read_body(request))
        self._cache.route(key)
        uids = list(dict.fromkeys(batch.uids))
        strong = is_strong(request)
        problems: dict[str, Problem] = {}
        stored = None
        if strong and (valid := _valid_uids(uids, problems)):
            self._authenticator.charge(path.caller, len(valid))
            stored = await self._binder.read_all(key, valid)
        links: dict[str, LinkAnswer] = {}
        for uid in uids:
            if uid in problems:
                continue
            try:
                link = self._cache.bound_link(key, uid) if stored is None else stored[uid]
                if link is None:
                    raise self._not_linked(key, uid, is_fresh=strong)
                links[uid] = link_answer(uid, link, self._cache.address(link))
            except EXPECTED_ERRORS as error:
                problems[uid] = problem_of(error).problem
        return self._json_response(request, key, _encode(BatchAnswer(links, problems)), is_fresh=strong)

    async def get_route(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Returns the state of a service."""
        key = path.route
        route = self._cache.route(key)
        try:
            best = self._binder.best_pod(route)
        except PodNotAvailableError:
            best = None
        return self._json_response(
            request, key, _encode(route_answer(route, self._cache.reachable_addresses(route), best))
        )

    async def _read_slotted(self, key: RouteKey, uid: str) -> Link:
        """Reads the link that binds a uid of a route with slots, where no link is created for it."""
        if (link := await self._binder.read_bound(key, uid)) is None:
            raise self._not_linked(key, uid, is_fresh=True)
        return link

    def _not_linked(self, key: RouteKey, uid: str, *, is_fresh: bool) -> ProblemError:
        if (slot := self._cache.slot(key, uid)) is not None:
            return slot_not_bound(key.name, slot)
        return not_linked(self._cache.route(key).name, uid, self._age(key, is_fresh=is_fresh))

    def _age(self, key: RouteKey, *, is_fresh: bool) -> int:
        return 0 if is_fresh else int(self._cache.age(key.namespace))

    def _json_response(
        self, request: web.BaseRequest, key: RouteKey, body: bytes, *, is_fresh: bool = False
    ) -> web.Response:
        """Returns the response with its age, or 304 if the client has the body."""
        tag = entity_tag(body)
        age = str(self._age(key, is_fresh=is_fresh))
        headers = {hdrs.AGE: age, hdrs.ETAG: tag, hdrs.CACHE_CONTROL: "no-cache"}
        client_tags = request.headers.get(hdrs.IF_NONE_MATCH)
        if client_tags is not None and request.method != "POST" and (tag in client_tags or client_tags.strip() == "*"):
            return web.Response(status=304, headers=headers)
        headers[hdrs.CONTENT_TYPE] = "application/json"
        return web.Response(body=body, headers=headers)


def is_strong(request: web.BaseRequest) -> bool:
    """Returns whether a request asks for strong consistency.

    Raises:
        InvalidParameterError: the query parameter has an unknown value.
    """
    if not request.query_string:
        return False
    consistency = request.query.get("consistency", Consistency.CACHED)
    if consistency not in tuple(Consistency):
        raise InvalidParameterError("consistency", f"must be one of {', '.join(Consistency)}")
    return consistency == Consistency.STRONG


def _valid_uids(uids: list[str], problems: dict[str, Problem]) -> list[str]:
    """Returns the valid uids, and adds the problems of the others."""
    valid = []
    for uid in uids:
        try:
            valid.append(validate_uid(uid))
        except InvalidParameterError as error:
            problems[uid] = problem_of(error).problem
    return valid


def decode_bind_request(data: bytes) -> BindRequest:
    """Decodes the body of a binding; an empty body uses the defaults.

    Raises:
        ProblemError: the body is invalid.
    """
    return decode(data, _bind_decoder) if data else _EMPTY_BIND_REQUEST


def decode_batch_request(data: bytes) -> BatchRequest:
    """Decodes the body of a batch look-up.

    Raises:
        ProblemError: the body is missing or invalid.
    """
    if not data:
        raise ProblemError(ProblemKind.MALFORMED, f'the body must be {{"uids": [...]}}, with at most {MAX_BATCH}')
    return decode(data, _batch_decoder)
