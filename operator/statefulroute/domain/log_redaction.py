"""Redacts log lines: replaces uids, also in names of links, by hashes."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote, unquote

from statefulroute.domain.keys import uid_from_link_name
from statefulroute.domain.redaction import UidRedactor

#: Fields that hold words of this program, or names of objects other than links.
_UNREDACTED = frozenset({"timestamp", "level", "logger", "namespace", "route", "resource", "phase", "reason"})

#: The field with the name of the link that a line is about.
_LINK = "link"

#: The field with the uid that a line is about.
_UID = "uid"

#: The loggers of this project, whose messages are constants: uids are only in fields.
_OURS = "statefulroute."

#: Matches of a link's name in texts of other programs; the only capture group is the name.
_NAMES = (
    re.compile(r"podlinks/(?:[-a-z0-9]+/)?([a-z0-9][-a-z0-9]*\.[\w%](?:[-.\w%]*[\w%])?)"),  # in a path
    re.compile(r"""(?i:podlinks?(?:\.statefulroute\.io)?) \\*["']([^"'\\\s]+)"""),  # in a message of the API server
    re.compile(r"""(?i:events?(?:\.events\.k8s\.io)?) \\*["']([^"'\\\s]+?)(?:\.[0-9a-f]{16})?\\*["']"""),  # an event
    re.compile(r"""LinkKey\(route=RouteKey\([^)]*\), name=\\*["']([^"'\\\s]+)"""),  # the repr of a key
)

#: In any other error: a quoted text that looks like a link's name.
_QUOTED = re.compile(r"""["']([a-z0-9][-a-z0-9]*\.[-a-z0-9.]+)["']""")

#: A uid is replaced only as a whole word; an escape sequence before it is not part of the word.
_WORD_START, _WORD_END = r"(?:(?<![^\W_])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))", r"(?![^\W_])"


class LogRedactor:
    """Redacts the fields of log lines, after tracebacks are formatted.

    Args:
        redactor: returns the hashes.
    """

    def __init__(self, redactor: UidRedactor) -> None:
        self._redactor = redactor

    def redact(self, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Replaces the uid of the line, and those of the links that it names, in all fields; returns the line."""
        unredacted = _UNREDACTED | {"event"} if str(line.get("logger", "")).startswith(_OURS) else _UNREDACTED
        texts = [text for field, value in line.items() if field not in unredacted for text in _texts(value)]
        names = dict.fromkeys(name for text in texts for name in _link_names(text))
        if (link := line.get(_LINK)) is not None:
            names[str(link)] = None
        if "exception" in line and link is None:
            names.update(dict.fromkeys(name for text in _texts(line["exception"]) for name in _QUOTED.findall(text)))
        uid = line.get(_UID)
        if names or uid is not None:
            replacement = _Replacement(names, () if uid is None else (str(uid),), self._redactor)
            for field, value in line.items():
                if field not in unredacted:
                    line[field] = replacement.apply(value)
        if uid is not None and not isinstance(uid, str):  # a mistake of the caller
            line[_UID] = self._redactor.redact_uid(str(uid))
        return line


class _Replacement:
    """Replaces the names and uids of some links, and some uids, in the values of a line."""

    def __init__(self, names: Iterable[str], uids: Iterable[str], redactor: UidRedactor) -> None:
        self._replacements: dict[str, str] = {}
        for uid in uids:
            for spelling in _spellings(uid):
                self._replacements.setdefault(spelling, redactor.redact_uid(uid))
        for name in names:
            for spelling in _spellings(name):
                self._replacements.setdefault(spelling, redactor.redact_link_name(name))
            for uid in _uids(name):
                for spelling in _spellings(uid):
                    self._replacements.setdefault(spelling, redactor.redact_link_name(name).partition(".")[2])
        longest_first = sorted(filter(None, self._replacements), key=len, reverse=True)
        self._pattern = re.compile(rf"{_WORD_START}(?:{'|'.join(map(re.escape, longest_first))}){_WORD_END}")

    def apply(self, value: object) -> object:
        """Returns the redacted value; an object that is not made of texts becomes its string."""
        if isinstance(value, str):
            return self._pattern.sub(lambda match: self._replacements[match[0]], value)
        if isinstance(value, Mapping):
            return {key: self.apply(each) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.apply(each) for each in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.apply(str(value))


def _link_names(text: str) -> Iterator[str]:
    """Yields the names of links in a text."""
    for pattern in _NAMES:
        yield from map(unquote, pattern.findall(text))


def _uids(name: str) -> Iterator[str]:
    """Yields the uid of a link's name, as it is encoded in the name and decoded."""
    yield name.partition(".")[2]
    try:
        yield uid_from_link_name(name)
    except ValueError:  # not the name of a link
        return


def _spellings(text: str) -> Iterator[str]:
    """Yields the spellings of a text inside other texts: plain, in a URL, in quotes of JSON and Go, and of Python."""
    yield text
    yield quote(text, safe="", errors="surrogatepass")
    yield quote(text, errors="surrogatepass")
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]


def _texts(value: object) -> Iterator[str]:
    """Yields every text in a value."""
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
