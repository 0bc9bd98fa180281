"""Texts that anybody may have written, for eyes: nothing in them moves the cursor, turns the line or begins another."""


def printable(text: str, *, keep: str = "") -> str:
    """A text in which every sign that has no look of its own is spelt out, as Python does.

    Among those signs are the control characters, by which a terminal can be told anything, and those that turn the
    direction of writing, by which a line can be made to look like another.

    Args:
        text: a uid, or what others say of one.
        keep: signs that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in keep else sign.encode("unicode_escape").decode() for sign in text
    )
