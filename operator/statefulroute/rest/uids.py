"""Decodes uids in paths."""

from urllib.parse import unquote

from statefulroute.domain.errors import InvalidParameterError


def decode_uid(quoted: str) -> str:
    """Returns the uid of a percent-encoded part of a path.

    Raises:
        InvalidParameterError: its bytes are not UTF-8; a lenient decoding could yield another user's uid.
    """
    if "%" not in quoted:
        return quoted
    try:
        return unquote(quoted, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidParameterError("uid", "must be percent-encoded UTF-8") from error
