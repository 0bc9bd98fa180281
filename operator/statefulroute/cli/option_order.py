"""Accepts the options of a subcommand before its name, as kubectl does: `statefulroute -n play routes`."""

from collections.abc import Callable, Mapping, Sequence

#: Whether each option of a subcommand takes a value, by all its names with their dashes.
TakesValue = Mapping[str, bool]


def move_behind_subcommand(arguments: Sequence[str], options_of: Callable[[str], TakesValue | None]) -> list[str]:
    """Returns the arguments with the options before the subcommand behind its name.

    A subcommand may have the name of a value (`-n routes links`), so its own options decide which words are values.

    Args:
        arguments: the arguments of the program.
        options_of: returns the options of a subcommand; None if there is no such subcommand.
    """
    for index, word in enumerate(arguments):
        if word == "--":
            break
        if index == 0 and not word.startswith("-"):
            break
        options = None if word.startswith("-") else options_of(word)
        if options is not None and _end_of_options(arguments, options) == index:
            return [word, *arguments[:index], *arguments[index + 1 :]]
    return [*arguments]


def _end_of_options(arguments: Sequence[str], options: TakesValue) -> int:
    """Returns the index of the first argument that is neither an option nor the value of one.

    An option that is not known takes a value, as kubectl assumes.
    """
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        option = arguments[index]
        has_next_value = option.startswith("--") or len(option) == len("-n")
        has_next_value = has_next_value and "=" not in option and options.get(option, True)
        index += 2 if has_next_value else 1
    return index
