"""The tools that the suite calls."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from inputs import InputRequest, answer_of, ask, form, sampling
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import PromptsListChanged, SubscriptionBus, ToolsListChanged
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    ListToolsResult,
    PaginatedRequestParams,
    SamplingMessage,
    TextContent,
    TextResourceContents,
    Tool,
)
from resources import PNG, wav

Result = CallToolResult | InputRequiredResult
Call = Callable[[ServerRequestContext, CallToolRequestParams], Awaitable[Result]]

#: What a tool waits for between two messages.
STEP_SECONDS = 0.05

_TOOLS: dict[str, tuple[Tool, Call]] = {}


def tool(name: str, description: str, schema: Mapping[str, Any] | None = None) -> Callable[[Call], Call]:
    """Registers a tool; without a schema it has no arguments."""

    def register(call: Call) -> Call:
        _TOOLS[name] = Tool(name=name, description=description, input_schema=dict(schema or {"type": "object"})), call
        return call

    return register


def text_argument(name: str, **keywords: Any) -> dict[str, Any]:
    """Returns the schema of a tool with one text."""
    return {"type": "object", "properties": {name: {"type": "string", **keywords}}, "required": [name]}


async def list_tools(_: ServerRequestContext, __: PaginatedRequestParams | None) -> ListToolsResult:
    """Lists the tools."""
    return ListToolsResult(tools=[tool for tool, _ in _TOOLS.values()])


async def call_tool(context: ServerRequestContext, params: CallToolRequestParams) -> Result:
    """Calls a tool."""
    if params.name not in _TOOLS:
        raise MCPError(INVALID_PARAMS, f"There is no tool {params.name!r}")
    return await _TOOLS[params.name][1](context, params)


def result(*contents: ContentBlock | str, is_error: bool = False) -> CallToolResult:
    """Returns a result of texts and other contents."""
    blocks = [TextContent(text=each) if isinstance(each, str) else each for each in contents]
    return CallToolResult(content=blocks, is_error=is_error)


# What a tool returns.


@tool("test_simple_text", "Returns a text")
async def simple_text(_: ServerRequestContext, __: CallToolRequestParams) -> Result:
    return result("A simple text.")


@tool("test_image_content", "Returns a picture")
async def image(_: ServerRequestContext, __: CallToolRequestParams) -> Result:
    return result(ImageContent(data=PNG, mime_type="image/png"))


@tool("test_audio_content", "Returns a sound")
async def audio(_: ServerRequestContext, __: CallToolRequestParams) -> Result:
    return result(AudioContent(data=wav(), mime_type="audio/wav"))


@tool("test_embedded_resource", "Returns a resource")
async def embedded(_: ServerRequestContext, __: CallToolRequestParams) -> Result:
    resource = TextResourceContents(uri="test://embedded-resource", mime_type="text/plain", text="An embedded text.")
    return result(EmbeddedResource(resource=resource))


@tool("test_multiple_content_types", "Returns a text, a picture and a resource")
async def mixed(_: ServerRequestContext, __: CallToolRequestParams) -> Result:
    uri = "test://mixed-content-resource"
    resource = TextResourceContents(uri=uri, mime_type="application/json", text='{"value": 123}')
    return result("Three contents:", ImageContent(data=PNG, mime_type="image/png"), EmbeddedResource(resource=resource))


@tool("test_error_handling", "Fails")
async def fail(_: ServerRequestContext, __: CallToolRequestParams) -> Result:
    return result("This tool always fails.", is_error=True)


@tool(
    "json_schema_2020_12_tool",
    "Has keywords of JSON Schema 2020-12",
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
)
async def json_schema(_: ServerRequestContext, params: CallToolRequestParams) -> Result:
    return result(str(params.arguments))


@tool(
    "test_header_argument",
    "Has an argument that clients copy into a header",
    text_argument("topic", **{"x-mcp-header": "Topic"}),
)
async def header_argument(_: ServerRequestContext, params: CallToolRequestParams) -> Result:
    return result(f"The topic is {(params.arguments or {})['topic']}.")


# What a tool sends before its result.


@tool("test_tool_with_logging", "Logs three messages")
async def log_messages(context: ServerRequestContext, _: CallToolRequestParams) -> Result:
    for message in ("The tool starts", "The tool works", "The tool ends"):
        await context.session.send_log_message("info", message, related_request_id=context.request_id)
        await asyncio.sleep(STEP_SECONDS)
    return result("Three messages were logged.")


@tool("test_logging_tool", "Logs a message, if the client wants messages")
async def log_message(context: ServerRequestContext, _: CallToolRequestParams) -> Result:
    await context.session.send_log_message("info", "A message", related_request_id=context.request_id)
    return result("A message was logged.")


@tool("test_tool_with_progress", "Reports its progress")
async def progress(context: ServerRequestContext, _: CallToolRequestParams) -> Result:
    for done in (0, 50, 100):
        await context.session.report_progress(done, 100)
        await asyncio.sleep(STEP_SECONDS)
    return result("All is done.")


@tool("test_reconnection", "Closes the stream of its response, which the client then reads by another request")
async def reconnect(context: ServerRequestContext, _: CallToolRequestParams) -> Result:
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
    await asyncio.sleep(2 * STEP_SECONDS)
    return result("The stream was closed before this.")


# Questions while a tool runs (up to 2025-11-25).


@tool("test_sampling", "Asks the client's model", text_argument("prompt"))
async def sample(context: ServerRequestContext, params: CallToolRequestParams) -> Result:
    messages = [SamplingMessage(role="user", content=TextContent(text=(params.arguments or {})["prompt"]))]
    answer = await context.session.create_message(messages, max_tokens=100, related_request_id=context.request_id)
    return result(f"The model answers {answer.content}.")


@tool("test_elicitation", "Asks the user", text_argument("message"))
async def elicit(context: ServerRequestContext, params: CallToolRequestParams) -> Result:
    fields = {name: {"type": "string", "description": f"Your {name}"} for name in ("username", "email")}
    return await _elicit(context, (params.arguments or {})["message"], fields)


@tool("test_elicitation_sep1034_defaults", "Asks the user, with a default for each kind of field")
async def elicit_defaults(context: ServerRequestContext, _: CallToolRequestParams) -> Result:
    fields = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await _elicit(context, "Who are you?", fields)


@tool("test_elicitation_sep1330_enums", "Asks the user, with each kind of choice")
async def elicit_choices(context: ServerRequestContext, _: CallToolRequestParams) -> Result:
    plain = {"type": "string", "enum": ["option1", "option2", "option3"]}
    titled = [{"const": f"value{number}", "title": f"Choice {number}"} for number in (1, 2, 3)]
    fields = {
        "untitledSingle": plain,
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option 1", "Option 2"]},
        "untitledMulti": {"type": "array", "items": plain},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    return await _elicit(context, "What do you choose?", fields)


async def _elicit(context: ServerRequestContext, message: str, fields: dict[str, Any]) -> Result:
    schema = {"type": "object", "properties": fields, "required": []}
    answer = await context.session.elicit_form(message, schema, related_request_id=context.request_id)
    return result(f"The user answers {answer.action}: {answer.content}.")


# Questions in a result (since 2026-07-28).


@tool("test_input_required_result_elicitation", "Asks the user for a name")
async def ask_user(_: ServerRequestContext, params: CallToolRequestParams) -> Result:
    answer = answer_of(params, "user_name")
    if answer is None:
        return ask({"user_name": form("What is your name?", name={"type": "string"})})
    return result(f"Hello, {answer['name']}!")


@tool("test_input_required_result_sampling", "Asks the client's model")
async def ask_model(_: ServerRequestContext, params: CallToolRequestParams) -> Result:
    if "capital_question" not in (params.input_responses or {}):
        return ask({"capital_question": sampling("What is the capital of France?")})
    return result("The model has answered.")


@tool("test_input_required_result_list_roots", "Asks for the client's roots")
async def ask_roots(_: ServerRequestContext, params: CallToolRequestParams) -> Result:
    if "client_roots" not in (params.input_responses or {}):
        return ask({"client_roots": ListRootsRequest()})
    return result(f"The roots are {(params.input_responses or {})['client_roots']}.")


@tool("test_input_required_result_request_state", "Asks the user, with a state that the client returns")
async def ask_with_state(_: ServerRequestContext, params: CallToolRequestParams) -> Result:
    if params.request_state != "asked" or answer_of(params, "confirm") is None:
        return ask({"confirm": form("Is this right?", ok={"type": "boolean"})}, "asked")
    return result("state-ok")


@tool("test_input_required_result_tampered_state", "The same; the SDK refuses a state that the client has changed")
async def ask_with_sealed_state(context: ServerRequestContext, params: CallToolRequestParams) -> Result:
    return await ask_with_state(context, params)


@tool("test_input_required_result_multiple_inputs", "Asks three questions")
async def ask_all(_: ServerRequestContext, params: CallToolRequestParams) -> Result:
    questions: dict[str, InputRequest] = {
        "user_name": form("What is your name?", name={"type": "string"}),
        "greeting": sampling("Write a greeting", 50),
        "client_roots": ListRootsRequest(),
    }
    if params.request_state != "asked" or questions.keys() - (params.input_responses or {}).keys():
        return ask(questions, "asked")
    return result("All questions are answered.")


@tool("test_input_required_result_multi_round", "Asks two questions, one after the other")
async def ask_twice(_: ServerRequestContext, params: CallToolRequestParams) -> Result:
    if params.request_state == "second" and (answer := answer_of(params, "step2")) is not None:
        return result(f"The colour is {answer['color']}.")
    if params.request_state == "first" and answer_of(params, "step1") is not None:
        return ask({"step2": form("Which colour do you like?", color={"type": "string"})}, "second")
    return ask({"step1": form("What is your name?", name={"type": "string"})}, "first")


@tool("test_input_required_result_capabilities", "Asks only what the client can answer")
async def ask_what_is_possible(context: ServerRequestContext, _: CallToolRequestParams) -> Result:
    capabilities = context.session.client_capabilities
    questions: dict[str, InputRequest] = {}
    if capabilities is not None and capabilities.sampling is not None:
        questions["greeting"] = sampling("Write a greeting")
    if capabilities is not None and capabilities.elicitation is not None:
        questions["user_name"] = form("What is your name?", name={"type": "string"})
    return ask(questions, "asked")


@tool("test_streaming_elicitation", "Reports its progress, and asks the user in the result")
async def ask_after_progress(context: ServerRequestContext, params: CallToolRequestParams) -> Result:
    await context.session.report_progress(50, 100)
    return await ask_user(context, params)


@tool("test_missing_capability", "Needs a client with a model")
async def need_model(context: ServerRequestContext, _: CallToolRequestParams) -> Result:
    capabilities = context.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        data = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "The client must declare the capability sampling", data)
    return result("The client has a model.")


def add_triggers(bus: SubscriptionBus) -> None:
    """Adds the tools that notify clients of changed lists."""

    @tool("test_trigger_tool_change", "Notifies clients that the tools have changed")
    async def change_tools(_: ServerRequestContext, __: CallToolRequestParams) -> Result:
        await bus.publish(ToolsListChanged())
        return result("The clients are notified.")

    @tool("test_trigger_prompt_change", "Notifies clients that the prompts have changed")
    async def change_prompts(_: ServerRequestContext, __: CallToolRequestParams) -> Result:
        await bus.publish(PromptsListChanged())
        return result("The clients are notified.")
