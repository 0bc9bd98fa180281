"""Handles changes of links: unlinking, renewals and claims."""

import msgspec
from aiohttp import hdrs, web

from statefulroute.api.limits import INT32_MAX
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.link import Link
from statefulroute.resolver.answers import ClaimAnswer, ClaimRequest, HolderAnswer, holder_answer
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.http.lookups import is_strong
from statefulroute.resolver.http.paths import RequestPath
from statefulroute.resolver.link_changes import LinkChanges
from statefulroute.rest.bodies import decode, read_body
from statefulroute.rest.problems import ProblemError, ProblemKind

_encode = msgspec.json.Encoder().encode
_claim_decoder = msgspec.json.Decoder(ClaimRequest)

_GRACE, _ONLY_FROM = "graceSeconds", "ifPodName"


class Changes:
    """Handles changes of links.

    Args:
        cache: the resolver's cache.
        link_changes: changes links.
    """

    def __init__(self, cache: ResolverCache, link_changes: LinkChanges) -> None:
        self._cache = cache
        self._link_changes = link_changes

    async def unlink(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Removes the link of a uid, at once or after a grace period, in any case or if it is bound to a pod."""
        # A misspelled condition or period would remove a link that must stay.
        options = _query(request, (_ONLY_FROM, _GRACE))
        only_from = options.get(_ONLY_FROM)
        await self._link_changes.unlink(path.route, path.uid, only_from=only_from, grace_seconds=_grace(options))
        return web.Response(status=204, headers={hdrs.CACHE_CONTROL: "no-store"})

    async def renew_link(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Renews the link of a uid, and returns the pod that the uid is bound to."""
        link, is_fresh = await self._link_changes.renew(path.route, path.uid, strong=is_strong(request))
        age = 0 if is_fresh else int(self._cache.age(path.route.namespace))
        return _json_response(self._holder(path.uid, link), age)

    async def claim_link(self, request: web.BaseRequest, path: RequestPath) -> web.Response:
        """Binds a uid to a pod, unless it has a persistent link to another one; returns the pod that it is bound to."""
        claim = decode_claim_request(await read_body(request))
        ttl_seconds = None if claim.ttl_seconds is None else int(claim.ttl_seconds)
        won, link = await self._link_changes.claim(
            path.route, path.uid, claim.pod_name, ttl_seconds=ttl_seconds, persistent=claim.persistent
        )
        return _json_response(ClaimAnswer(**msgspec.structs.asdict(self._holder(path.uid, link)), won=won), 0)

    def _holder(self, uid: str, link: Link) -> HolderAnswer:
        pod_name = None if link.pod is None else self._cache.pod_name(self._cache.route(link.route), link.pod)
        return holder_answer(uid, link, pod_name)


def decode_claim_request(data: bytes) -> ClaimRequest:
    """Decodes the body of a claim.

    Raises:
        ProblemError: the body is missing or invalid.
    """
    if not data:
        raise ProblemError(ProblemKind.MALFORMED, 'the body must be {"podName": "..."}')
    return decode(data, _claim_decoder)


def _json_response(answer: HolderAnswer, age_seconds: int) -> web.Response:
    headers = {hdrs.AGE: str(age_seconds), hdrs.CACHE_CONTROL: "no-store", hdrs.CONTENT_TYPE: "application/json"}
    return web.Response(body=_encode(answer), headers=headers)


def _query(request: web.BaseRequest, names: tuple[str, ...]) -> dict[str, str]:
    """Returns the query parameters.

    Raises:
        InvalidParameterError: one is unknown or repeated.
    """
    options: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in names:
            raise InvalidParameterError(name, f"is unknown here: there are {' and '.join(names)}")
        if name in options:
            raise InvalidParameterError(name, "is repeated")
        options[name] = value
    return options


def _grace(options: dict[str, str]) -> int | None:
    text = options.get(_GRACE)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(INT32_MAX))):
        raise InvalidParameterError(_GRACE, f"must be a whole number of seconds from 0 to {INT32_MAX}")
    return int(text)
