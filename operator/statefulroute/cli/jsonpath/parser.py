"""Parses templates."""

import re
from collections.abc import Iterator, Sequence

from statefulroute.cli.jsonpath.errors import JSONPathError
from statefulroute.cli.jsonpath.syntax import (
    Descent,
    Field,
    Filter,
    Keyword,
    Literal,
    Loop,
    Path,
    Slice,
    Step,
    Template,
    Union,
    Wildcard,
)

_NUMBER = re.compile(r"[+-]?[\d.]*")
_WORD = re.compile(r"[^\s.,\[\]$@{}]+")
_FIELD_NAME = re.compile(r"(?:\\.|[^\s.,\[\]$@{}\\])*", re.DOTALL)
_COMPARISON = re.compile(r"([^!<>=]+)([!<>=]+)(.+?)")
_KEY = re.compile(r"'([^']*)'")
_SLICE = re.compile(r"(-?\d*)(:-?\d*)?(:-?\d*)?")
_ESCAPE = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[0-7]{3}|.|$)", re.DOTALL)
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_RELAXED = re.compile(r"\{\.?([^{}]+)\}|\.?([^{}]+)")


def relaxed_expression(text: str) -> str:
    """Returns the template of a path whose braces and first dot may be missing: `metadata.name`.

    Raises:
        JSONPathError: it is more than a path.
    """
    match = _RELAXED.fullmatch(text)
    if match is None:
        raise JSONPathError(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'"
        )
    return f"{{.{match[1] or match[2]}}}"


def parse(text: str) -> Template:
    """Parses a template.

    Raises:
        JSONPathError: it is not valid.
    """
    paths: list[Path] = []
    position = 0
    while (start := text.find("{", position)) >= 0:
        if start > position:
            paths.append([Literal(text[position:start])])
        action = _Action(text, start + 1)
        paths.append([*action.steps()])
        position = action.position
    if position < len(text):
        paths.append([Literal(text[position:])])
    template, _ = _loops(paths, 0, depth=0)
    return template


def _loops(paths: Sequence[Path], index: int, *, depth: int) -> tuple[Template, int]:
    """Returns the template up to the end of its loop, and the index after that; an open loop ends with the text."""
    template: list[Path | Loop] = []
    while index < len(paths):
        path = paths[index]
        index += 1
        names = [step.name for step in path if isinstance(step, Keyword)]
        if "end" in names:
            if depth == 0:
                raise JSONPathError("not in range, nothing to end")
            break
        if "range" in names:
            body, index = _loops(paths, index, depth=depth + 1)
            template.append(Loop([step for step in path if step != Keyword("range")], body))
        else:
            template.append(path)
    return template, index


class _Action:
    """The text between braces.

    Args:
        text: the template.
        position: where the action begins, after its brace.
    """

    def __init__(self, text: str, position: int) -> None:
        self._text = text
        self.position = position

    def steps(self) -> Iterator[Step]:
        """Yields the steps up to the closing brace, which is consumed."""
        follows_descent = False
        while not self._take("}"):
            if self._take("[?("):
                yield self._filter()
            elif self._take(".."):
                if follows_descent:
                    raise JSONPathError("invalid multiple recursive descent")
                yield Descent()
                follows_descent = True
                if re.match(r"\w", self._rest()):
                    yield self._field()
                    follows_descent = False
                continue
            else:
                yield from self._simple_step()
            follows_descent = False

    def _simple_step(self) -> Iterator[Step]:
        character = self._rest()[:1]
        if character in {"", "\r", "\n"}:
            raise JSONPathError("unclosed action")
        if character in "+-" or character.isdigit():
            yield self._number()
        elif character == "_" or character.isalpha():
            yield self._word()
        else:
            self.position += 1
            match character:
                case " " | "@" | "$":
                    return
                case "[":
                    yield from self._brackets()
                case '"' | "'":
                    yield self._quoted(character)
                case ".":
                    yield self._field()
                case _:
                    raise JSONPathError(f"unrecognized character in action: U+{ord(character):04X} '{character}'")

    def _rest(self) -> str:
        return self._text[self.position :]

    def _take(self, prefix: str) -> bool:
        is_next = self._text.startswith(prefix, self.position)
        if is_next:
            self.position += len(prefix)
        return is_next

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self.position)
        if match is None:
            return ""
        self.position = match.end()
        return match[0]

    def _field(self) -> Step:
        name = self._match(_FIELD_NAME)
        return Wildcard() if name == "*" else Field(name.replace("\\", ""))

    def _word(self) -> Step:
        word = self._match(_WORD)
        return Literal(word == "true") if word in {"true", "false"} else Keyword(word)

    def _number(self) -> Step:
        digits = self._match(_NUMBER)
        for convert in (int, float):
            try:
                return Literal(convert(digits))
            except ValueError:
                continue
        raise JSONPathError(f"cannot parse number {digits}")

    def _quoted(self, quote: str) -> Step:
        start = self.position
        while True:
            end = self._text.find(quote, self.position)
            if end < 0 or "\n" in self._text[start:end]:
                raise JSONPathError("unterminated quoted string")
            self.position = end + 1
            if self._text[end - 1] != "\\":
                return Literal(_unquoted(self._text[start:end], quote))

    def _brackets(self) -> Iterator[Step]:
        content = self._until("]", "unterminated array")
        items = content.split(",")
        if len(items) > 1:
            yield Union([_path(f"[{item.strip(' ')}]") for item in items])
        elif (key := _KEY.fullmatch(content)) is not None:
            yield from _path(f".{key[1]}")
        else:
            yield _slice(":" if content == "*" else content)

    def _filter(self) -> Step:
        content = self._filter_content()
        comparison = _COMPARISON.fullmatch(content)
        if comparison is None:
            return Filter(_path(content), "exists", [])
        return Filter(_path(comparison[1]), comparison[2], _path(comparison[3]))

    def _filter_content(self) -> str:
        """Returns the text up to `)]`; a quoted text in it may contain a parenthesis."""
        start, quote, is_closed = self.position, "", False
        while True:
            character = self._text[self.position : self.position + 1]
            self.position += 1
            if character in {"", "\n"}:
                raise JSONPathError("unterminated filter")
            if not quote and character in "\"'":
                quote = character
            elif character == quote and self._text[self.position - 2] != "\\":
                is_closed = True
            elif character == ")" and bool(quote) == is_closed:
                break
        if not self._take("]"):
            raise JSONPathError("unclosed array expect ]")
        return self._text[start : self.position - len(")]")]

    def _until(self, end: str, message: str) -> str:
        start, stop = self.position, self._text.find(end, self.position)
        if stop < 0 or "\n" in self._text[start:stop]:
            raise JSONPathError(message)
        self.position = stop + len(end)
        return self._text[start:stop]


def _path(text: str) -> Path:
    """Parses a part of an action as an action of its own."""
    action = _Action(f"{text}}}", 0)
    return [*action.steps()]


def _slice(text: str) -> Slice:
    match = _SLICE.fullmatch(text)
    if match is None:
        raise JSONPathError(f"invalid array index {text}")
    start, end, step = match.groups()
    return Slice(_index(start), _index(end), _index(step), is_index=end is None)


def _index(text: str | None) -> int | None:
    digits = (text or "").removeprefix(":")
    try:
        return int(digits) if digits else None
    except ValueError:
        raise JSONPathError(f"array index {digits} is not a number") from None


def _unquoted(text: str, quote: str) -> str:
    """Returns a quoted text with its escapes replaced, which are those of Go."""

    def replace(match: re.Match[str]) -> str:
        escape = match[0][1:]
        if escape == quote:
            return quote
        if escape in _ESCAPED:
            return _ESCAPED[escape]
        if escape[:1] in "xuU" and len(escape) > 1:
            return chr(int(escape[1:], 16))
        if len(escape) > 1:
            return chr(int(escape, 8))
        raise JSONPathError(f"unquote string {quote}{text}{quote} error invalid syntax")

    return _ESCAPE.sub(replace, text)
