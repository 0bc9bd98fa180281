"""Keeps the uids of links out of a log: in each line, a hash stands for every uid and in every link's name."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote, unquote

from statefulroute.domain.keys import uid_from_link_name
from statefulroute.domain.redaction import UidRedactor

#: The variable of the environment that holds the key of the hashes, where they are to be hard to try out.
HASH_KEY = "STATEFULROUTE_HASH_KEY"

#: Fields whose words are this program's own, or names of what is no link.
_PLAIN = frozenset({"timestamp", "level", "logger", "namespace", "route", "resource", "phase", "reason"})

#: The field in which a line says which link it is about.
_LINK = "link"

#: Ours, whose events are constants: what may be a uid is in fields.
_OURS = "statefulroute."

#: Where a link's name stands in the words of others: each has the name as its only group.
_NAMES = (
    re.compile(r"podlinks/(?:[-a-z0-9]+/)?([a-z0-9][-a-z0-9]*\.[\w%](?:[-.\w%]*[\w%])?)"),  # in a path
    re.compile(r"""(?i:podlinks?(?:\.statefulroute\.io)?) \\*["']([^"'\\\s]+)"""),  # in the API server's sentences
    re.compile(r"""(?i:events?(?:\.events\.k8s\.io)?) \\*["']([^"'\\\s]+?)(?:\.[0-9a-f]{16})?\\*["']"""),  # an event's
    re.compile(r"""LinkKey\(route=RouteKey\([^)]*\), name=\\*["']([^"'\\\s]+)"""),  # in a key's own form
)

#: In an error of which nothing is known, whatever is quoted and looks like a link's name.
_QUOTED = re.compile(r"""["']([a-z0-9][-a-z0-9]*\.[-a-z0-9.]+)["']""")

#: Only a word of its own is a uid; what is escaped before it is no part of the word.
_BEGIN, _END = r"(?:(?<![^\W_])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))", r"(?![^\W_])"


def uid_redactor() -> UidRedactor:
    """What stands for the uids that are hidden, with the key that the environment has."""
    return UidRedactor(os.fsencode(os.environ.get(HASH_KEY, "")))


class LogRedactor:
    """A processor of structlog that stands before the renderer, when tracebacks are text or values already.

    Args:
        pseudonyms: what stands for a uid.
    """

    def __init__(self, pseudonyms: UidRedactor) -> None:
        self._pseudonyms = pseudonyms

    def __call__(self, _logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Replace the uids of the links that the line names, wherever they stand in it."""
        plain = _PLAIN | {"event"} if str(line.get("logger", "")).startswith(_OURS) else _PLAIN
        texts = [text for field, value in line.items() if field not in plain for text in _texts(value)]
        names = dict.fromkeys(name for text in texts for name in _named(text))
        if (link := line.get(_LINK)) is not None:
            names[str(link)] = None
        if "exception" in line and link is None:
            names.update(dict.fromkeys(name for text in _texts(line["exception"]) for name in _QUOTED.findall(text)))
        if names:
            replacement = _Replacement(names, self._pseudonyms)
            for field, value in line.items():
                if field not in plain:
                    line[field] = replacement.within(value)
        return line


class _Replacement:
    """Replaces the names and uids of some links in all that a line holds."""

    def __init__(self, names: Iterable[str], pseudonyms: UidRedactor) -> None:
        self._instead: dict[str, str] = {}
        for name in names:
            for form in _forms(name):
                self._instead.setdefault(form, pseudonyms.redact_link_name(name))
            for uid in _uids(name):
                for form in _forms(uid):
                    self._instead.setdefault(form, pseudonyms.redact_link_name(name).partition(".")[2])
        longest_first = sorted(filter(None, self._instead), key=len, reverse=True)
        self._pattern = re.compile(rf"{_BEGIN}(?:{'|'.join(map(re.escape, longest_first))}){_END}")

    def within(self, value: object) -> object:
        """The value, with everything replaced; what is neither text nor made of it is told in its own form."""
        if isinstance(value, str):
            return self._pattern.sub(lambda found: self._instead[found[0]], value)
        if isinstance(value, Mapping):
            return {key: self.within(each) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.within(each) for each in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.within(str(value))


def _named(text: str) -> Iterator[str]:
    """The names of links that stand in a text where names stand."""
    for pattern in _NAMES:
        yield from map(unquote, pattern.findall(text))


def _uids(name: str) -> Iterator[str]:
    """The uid of a link's name, as it is and as the name has it."""
    yield name.partition(".")[2]
    try:
        yield uid_from_link_name(name)
    except ValueError:  # no name of a link
        return


def _forms(text: str) -> Iterator[str]:
    """A text as it may stand within others: as it is, in a URL, in JSON or Go's quotes, in Python's."""
    yield text
    yield quote(text, safe="")
    yield quote(text)
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]


def _texts(value: object) -> Iterator[str]:
    """Every text that a value is made of."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _texts(each)
    elif value is not None and not isinstance(value, bool | int | float):
        yield str(value)
