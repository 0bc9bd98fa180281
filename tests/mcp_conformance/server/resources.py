"""The resources and the resource template that the suite reads."""

import base64
import json
import re

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    EmptyResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SubscribeRequestParams,
    TextResourceContents,
    UnsubscribeRequestParams,
)

#: A picture of one pixel.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # gitleaks:allow
)

_TEXT = TextResourceContents(uri="test://static-text", mime_type="text/plain", text="A text that never changes.")
_BINARY = BlobResourceContents(uri="test://static-binary", mime_type="image/png", blob=PNG)
_WATCHED = TextResourceContents(uri="test://watched-resource", mime_type="text/plain", text="A text to subscribe to.")
_CONTENTS = {each.uri: each for each in (_TEXT, _BINARY, _WATCHED)}

_TEMPLATE = re.compile(r"test://template/(?P<id>[^/]+)/data")


async def list_resources(_: ServerRequestContext, __: PaginatedRequestParams | None) -> ListResourcesResult:
    """Lists the resources."""
    return ListResourcesResult(
        resources=[
            Resource(uri=uri, name=uri.removeprefix("test://"), description="A resource", mime_type=each.mime_type)
            for uri, each in _CONTENTS.items()
        ]
    )


async def list_templates(_: ServerRequestContext, __: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
    """Lists the resource templates."""
    template = ResourceTemplate(
        uri_template="test://template/{id}/data",
        name="template",
        description="Data by id",
        mime_type="application/json",
    )
    return ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(_: ServerRequestContext, params: ReadResourceRequestParams) -> ReadResourceResult:
    """Reads a resource."""
    uri = str(params.uri)
    if (match := _TEMPLATE.fullmatch(uri)) is not None:
        text = json.dumps({"id": match["id"], "data": f"The data of {match['id']}"})
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type="application/json", text=text)])
    if uri not in _CONTENTS:
        raise MCPError(INVALID_PARAMS, "There is no such resource", {"uri": uri})
    return ReadResourceResult(contents=[_CONTENTS[uri]])


async def subscribe(_: ServerRequestContext, __: SubscribeRequestParams) -> EmptyResult:
    """Accepts a subscription; no resource changes."""
    return EmptyResult()


async def unsubscribe(_: ServerRequestContext, __: UnsubscribeRequestParams) -> EmptyResult:
    """Accepts the end of a subscription."""
    return EmptyResult()


def wav() -> str:
    """Returns a sound without samples, encoded."""
    header = b"RIFF" + (36).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    shape = b"\x01\x00\x01\x00" + (8000).to_bytes(4, "little") * 2 + b"\x01\x00\x08\x00"
    return base64.b64encode(header + shape + b"data" + bytes(4)).decode()
