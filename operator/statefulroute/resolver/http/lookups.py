"""Look-ups and bindings: which pod holds a uid, and where it is."""

from enum import StrEnum
from typing import TypeVar

import msgspec
from aiohttp import hdrs, web

from statefulroute.domain.errors import InvalidParameterError, PodNotAvailableError
from statefulroute.domain.keys import RouteKey
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
from statefulroute.resolver.binder import Binder
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.http.paths import RequestPath
from statefulroute.resolver.problems import EXPECTED_ERRORS, Problem, ProblemError, ProblemKind, not_linked, problem_of

B = TypeVar("B")

_encode = msgspec.json.Encoder().encode
_bind_decoder = msgspec.json.Decoder(BindRequest)
_batch_decoder = msgspec.json.Decoder(BatchRequest)
_EMPTY_BIND_REQUEST = BindRequest()


class Consistency(StrEnum):
    """Who is asked where a uid is."""

    CACHED = "cached"
    """The resolver's copy; the answer says how old it may be."""
    STRONG = "strong"
    """The API server."""


class Lookups:
    """Answers look-ups.

    Args:
        cache: what is known.
        binder: asks the API server, and binds.
    """

    def __init__(self, cache: ResolverCache, binder: Binder) -> None:
        self._cache = cache
        self._binder = binder

    async def get_link(self, request: web.BaseRequest, target: RequestPath) -> web.Response:
        """Which pod holds a uid."""
        key, uid = target.route, target.uid
        strong = is_strong(request)
        link = await self._binder.read(key, uid) if strong else self._cache.link(key, uid)
        if link is None:
            raise self._not_linked(key, uid, is_fresh=strong)
        body = _encode(link_answer(uid, link, self._cache.address(link)))
        return self._json_response(request, key, body, is_fresh=strong)

    async def bind_link(self, request: web.BaseRequest, target: RequestPath) -> web.Response:
        """Bind a uid to the best pod, unless it is bound; tells which pod holds it."""
        key, uid = target.route, target.uid
        asked = decode_bind_request(await _read_body(request))
        strong = is_strong(request)
        link = None if strong else self._cache.link(key, uid)
        if link is None or link.pod is None:
            ttl_seconds = None if asked.ttl_seconds is None else int(asked.ttl_seconds)
            link, strong = await self._binder.bind(key, uid, ttl_seconds=ttl_seconds), True
        else:
            self._binder.renew_if_due(link)
        body = _encode(link_answer(uid, link, self._cache.address(link)))
        return self._json_response(request, key, body, is_fresh=strong)

    async def batch_get(self, request: web.BaseRequest, target: RequestPath) -> web.Response:
        """Which pod holds each of many uids."""
        key = target.route
        asked = decode_batch_request(await _read_body(request))
        self._cache.route(key)
        uids = list(dict.fromkeys(asked.uids))
        strong = is_strong(request)
        problems: dict[str, Problem] = {}
        found = await self._binder.read_all(key, _valid_uids(uids, problems)) if strong else None
        links: dict[str, LinkAnswer] = {}
        for uid in uids:
            if uid in problems:
                continue
            try:
                link = self._cache.link(key, uid) if found is None else found[uid]
                if link is None:
                    raise self._not_linked(key, uid, is_fresh=strong)
                links[uid] = link_answer(uid, link, self._cache.address(link))
            except EXPECTED_ERRORS as error:
                problems[uid] = problem_of(error).problem
        return self._json_response(request, key, _encode(BatchAnswer(links, problems)), is_fresh=strong)

    async def get_route(self, request: web.BaseRequest, target: RequestPath) -> web.Response:
        """The state of a service."""
        key = target.route
        route = self._cache.route(key)
        try:
            best = self._binder.best_pod(route)
        except PodNotAvailableError:
            best = None
        return self._json_response(
            request, key, _encode(route_answer(route, self._cache.reachable_addresses(route), best))
        )

    def _not_linked(self, key: RouteKey, uid: str, *, is_fresh: bool) -> ProblemError:
        return not_linked(self._cache.route(key).name, uid, self._age(key, is_fresh=is_fresh))

    def _age(self, key: RouteKey, *, is_fresh: bool) -> int:
        return 0 if is_fresh else int(self._cache.age(key.namespace))

    def _json_response(
        self, request: web.BaseRequest, key: RouteKey, body: bytes, *, is_fresh: bool = False
    ) -> web.Response:
        """The answer, with how old it may be; without its body where the caller has it."""
        tag = entity_tag(body)
        age = str(self._age(key, is_fresh=is_fresh))
        headers = {hdrs.AGE: age, hdrs.ETAG: tag, hdrs.CACHE_CONTROL: "no-cache"}
        known = request.headers.get(hdrs.IF_NONE_MATCH)
        if known is not None and request.method != "POST" and (tag in known or known.strip() == "*"):
            return web.Response(status=304, headers=headers)
        headers[hdrs.CONTENT_TYPE] = "application/json"
        return web.Response(body=body, headers=headers)


def is_strong(request: web.BaseRequest) -> bool:
    """Whether the API server is to be asked.

    Raises:
        InvalidParameterError: it is asked for in a way that there is not.
    """
    if not request.query_string:
        return False
    said = request.query.get("consistency", Consistency.CACHED)
    if said not in tuple(Consistency):
        raise InvalidParameterError("consistency", f"must be one of {', '.join(Consistency)}")
    return said == Consistency.STRONG


def _valid_uids(uids: list[str], problems: dict[str, Problem]) -> list[str]:
    """Those that may be asked for; notes the problems of the others."""
    valid = []
    for uid in uids:
        try:
            valid.append(validate_uid(uid))
        except InvalidParameterError as error:
            problems[uid] = problem_of(error).problem
    return valid


async def _read_body(request: web.BaseRequest) -> bytes:
    """The body; empty where there is none."""
    data = await request.read() if request.can_read_body else b""
    if data and request.content_type != "application/json":
        raise ProblemError(ProblemKind.NOT_JSON, "send the body as application/json")
    return data


def decode_bind_request(data: bytes) -> BindRequest:
    """How somebody is to be bound; an empty body leaves it open.

    Raises:
        ProblemError: it is no such thing.
    """
    return _decode(data, _bind_decoder) if data else _EMPTY_BIND_REQUEST


def decode_batch_request(data: bytes) -> BatchRequest:
    """Who is asked for.

    Raises:
        ProblemError: it is no such thing.
    """
    if not data:
        raise ProblemError(ProblemKind.MALFORMED, f'the body must be {{"uids": [...]}}, of {MAX_BATCH} at the most')
    return _decode(data, _batch_decoder)


def _decode(data: bytes, decoder: msgspec.json.Decoder[B]) -> B:
    try:
        return decoder.decode(data)
    except ValueError as error:  # bytes that are no UTF-8 are one, too
        raise ProblemError(ProblemKind.MALFORMED, f"the body is not what it must be: {error}") from error
