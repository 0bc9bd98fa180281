"""Templates of JSONPath with the outputs and the messages of kubectl for a list of routes."""

from typing import Any

from support.objects import stateful_route


def _route(name: str, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    route = stateful_route(name=name, **spec)
    if annotations:
        route["metadata"]["annotations"] = annotations
    return route


#: The routes of which the list consists; a test creates them in a real API server.
ITEMS = [
    _route("chat", {"example.com/level": "7", "plain": 'a "quoted" <text>'}, port=7000, tags=["b", "c"]),
    _route(
        "game", port="http", pods=[{"index": n, "routingState": s} for n, s in ((0, "Shutdown"), (2, "DenyNewCall"))]
    ),
    _route("lobby", tags=["c"]),
]

ROUTES = {"apiVersion": "v1", "items": ITEMS, "kind": "List", "metadata": {"resourceVersion": ""}}

TEMPLATES = {
    "": "",
    "text": "text",
    ".metadata.name": ".metadata.name",
    "{.kind}": "List",
    "{.items[0].metadata.name}": "chat",
    "{.items[*].metadata.name}": "chat game lobby",
    "{.items.*.metadata.name}": "chat game lobby",
    "{$.items[*].metadata.name}": "chat game lobby",
    "{.items[-1].metadata.name}": "lobby",
    "{.items[-2:].metadata.name}": "game lobby",
    "{.items[1:].metadata.name}": "game lobby",
    "{.items[:2].metadata.name}": "chat game",
    "{.items[0:3:2].metadata.name}": "chat lobby",
    "{.items[1:1].metadata.name}": "",
    "{.items[0,2].metadata.name}": "chat lobby",
    "{.items[0]['metadata', 'spec']['name', 'port']}": "chat 7000",
    "{.items[0].metadata['name']}": "chat",
    "{.items[0].metadata.annotations.example\\.com/level}": "7",
    "{.items[0].metadata.annotations['example\\.com/level']}": "7",
    "{.items[0].spec.tags}": '["b","c"]',
    "{.items[0].metadata.annotations}": '{"example.com/level":"7","plain":"a \\"quoted\\" \\u003ctext\\u003e"}',
    "{.items[*].spec.port}": "7000 http",
    "{..port}": "7000 http",
    "{..pods[0].index}": "0",
    "{.items[*].spec.nothing}": "",
    "{.nothing.at.all}": "",
    "{.items[0].metadata.name}: {.items[0].spec.port}!": "chat: 7000!",
    "{.items[0].metadata.name}{'\\t'}{.items[0].spec.port}{\"\\n\"}": "chat\t7000\n",
    '{"\\x41\\u00e9\\101"}': "AéA",
    "{'it\\'s'}": "it's",
    "{range .items[*]}{.metadata.name}={.spec.port}{'\\n'}{end}": "chat=7000\ngame=http\nlobby=\n",
    "{range .items[*]}[{.metadata.name}{range .spec.pods[*]} {.index}:{.routingState}{end}]{end}.": (
        "[chat][game 0:Shutdown 2:DenyNewCall][lobby]."
    ),
    "{range .nothing[*]}{.metadata.name}{end}after": "after",
    "{range .items[*]}{.metadata.name} ": "chat game lobby ",
    "{.items[?(@.metadata.name=='game')].spec.port}": "http",
    '{.items[?(@.metadata.name != "game")].metadata.name}': "chat lobby",
    "{.items[?(@.spec.port)].metadata.name}": "chat game",
    "{.items[?(@.spec.pods[0].index==0)].metadata.name}": "game",
    "{.items[?(@.spec.pods[5])].metadata.name}": "game",
    "{.items[1].spec.pods[?(@.index>0)].routingState}": "DenyNewCall",
    "{.items[1].spec.pods[?(@.index<=0)].routingState}": "Shutdown",
    "{.items[?(@.metadata.name>'d')].metadata.name}": "game lobby",
    "{.items[*]['metadata.name']}": "chat game lobby",
}

INVALID_TEMPLATES = {
    "{.items[0].metadata.name": "unclosed action",
    "{.items[0": "unterminated array",
    "{.items[a]}": "invalid array index a",
    "{.items[5]}": "array index out of bounds: index 5, length 3",
    "{.items[0:9]}": "array index out of bounds: index 8, length 3",
    "{.items[2:1]}": "starting index 2 is greater than ending index 1",
    "{.items[0:2:0]}": "step must be > 0",
    "{.kind[0]}": "string is not array or slice",
    "{end}": "not in range, nothing to end",
    "{foo}": "unrecognized identifier foo",
    "{'open}": "unterminated quoted string",
    "{.items[?(@.a==1}": "unterminated filter",
    "{.items[?(@.metadata.name=~'x')]}": "unrecognized character in action: U+007E '~'",
    "{.items[?(@.metadata.name==1)]}": "incompatible types for comparison",
    "{.items[?(@.metadata==1)]}": "invalid type for comparison",
    "{....a}": "invalid multiple recursive descent",
    "{1.2.3}": "cannot parse number 1.2.3",
}
