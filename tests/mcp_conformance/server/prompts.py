"""The prompts that the suite gets, and the completion of their arguments."""

from inputs import answer_of, ask, form
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmbeddedResource,
    GetPromptRequestParams,
    GetPromptResult,
    ImageContent,
    InputRequiredResult,
    ListPromptsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
    TextResourceContents,
)
from resources import PNG

_PROMPTS = [
    Prompt(name="test_simple_prompt", description="A prompt without arguments"),
    Prompt(
        name="test_prompt_with_arguments",
        description="A prompt with two arguments",
        arguments=[PromptArgument(name=name, description="Any text", required=True) for name in ("arg1", "arg2")],
    ),
    Prompt(
        name="test_prompt_with_embedded_resource",
        description="A prompt with a resource",
        arguments=[PromptArgument(name="resourceUri", description="The URI of the resource", required=True)],
    ),
    Prompt(name="test_prompt_with_image", description="A prompt with a picture"),
    Prompt(name="test_input_required_result_prompt", description="A prompt that asks the user first"),
]


async def list_prompts(_: ServerRequestContext, __: PaginatedRequestParams | None) -> ListPromptsResult:
    """Lists the prompts."""
    return ListPromptsResult(prompts=_PROMPTS)


async def get_prompt(_: ServerRequestContext, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    """Returns a prompt."""
    arguments = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return _result(TextContent(text="A simple prompt."))
        case "test_prompt_with_arguments":
            return _result(TextContent(text=f"The arguments are {arguments['arg1']!r} and {arguments['arg2']!r}."))
        case "test_prompt_with_embedded_resource":
            resource = TextResourceContents(uri=arguments["resourceUri"], mime_type="text/plain", text="Embedded text.")
            return _result(EmbeddedResource(resource=resource), TextContent(text="Use the resource above."))
        case "test_prompt_with_image":
            return _result(ImageContent(data=PNG, mime_type="image/png"), TextContent(text="Look at the picture."))
        case "test_input_required_result_prompt":
            answer = answer_of(params, "user_context")
            if answer is None:
                return ask({"user_context": form("Which context?", context={"type": "string"})})
            return _result(TextContent(text=f"The context is {answer['context']}."))
    raise MCPError(INVALID_PARAMS, f"There is no prompt {params.name!r}")


async def complete(_: ServerRequestContext, params: CompleteRequestParams) -> CompleteResult:
    """Completes an argument with the text that it has."""
    values = [f"{params.argument.value}-completed"]
    return CompleteResult(completion=Completion(values=values, total=len(values), has_more=False))


def _result(*contents: TextContent | ImageContent | EmbeddedResource) -> GetPromptResult:
    return GetPromptResult(messages=[PromptMessage(role="user", content=each) for each in contents])
