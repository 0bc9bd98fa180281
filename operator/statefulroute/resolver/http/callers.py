"""Names the callers of HTTP requests."""

from aiohttp import web


def peer_of(request: web.BaseRequest) -> str:
    """Returns the name in the client's certificate, or its address if it has none."""
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if certificate:
        names = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
        names += [value for _, value in certificate.get("subjectAltName", ())]
        if names:
            return str(names[0])
    return request.remote or ""
