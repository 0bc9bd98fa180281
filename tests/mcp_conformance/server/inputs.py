"""Questions to the client within a result, as the revision 2026-07-28 has them, and the client's answers."""

from typing import Any

from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    InputResponseRequestParams,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

InputRequest = ElicitRequest | CreateMessageRequest | ListRootsRequest


def form(message: str, **properties: Any) -> ElicitRequest:
    """Returns a question to the user, all fields of which are required."""
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(prompt: str, tokens: int = 100) -> CreateMessageRequest:
    """Returns a question to the client's model."""
    messages = [SamplingMessage(role="user", content=TextContent(text=prompt))]
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=messages, max_tokens=tokens))


def ask(requests: dict[str, InputRequest], state: str | None = None) -> InputRequiredResult:
    """Returns a result that asks the client."""
    return InputRequiredResult(input_requests=requests, request_state=state)


def answer_of(params: InputResponseRequestParams, key: str) -> dict[str, Any] | None:
    """Returns the fields that the user has filled in; None if the client has not answered."""
    answer = (params.input_responses or {}).get(key)
    return dict(answer.content or {}) if isinstance(answer, ElicitResult) and answer.action == "accept" else None
