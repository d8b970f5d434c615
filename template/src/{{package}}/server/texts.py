"""Text that others wrote, made fit for a log: what does not print is escaped, and what is long is cut."""


def cut(text: str, size: int) -> str:
    """At most `size` bytes of `text` in UTF-8."""
    data = text[: size + 1].encode("utf-8", "replace")
    return data.decode() if len(data) <= size else data[: size - 3].decode(errors="ignore") + "..."


def escaped(text: str, size: int) -> str:
    """At most `size` bytes of `text` in UTF-8, on one line.

    What does not print is written as in Python's `repr`: line ends, control characters, lone surrogates, and what turns
    the direction of writing.
    """
    if len(text) <= size and text.isascii() and text.isprintable():
        return text
    return cut("".join(each if each.isprintable() else repr(each)[1:-1] for each in text[: size + 1]), size)


def escaped_lines(text: str, size: int) -> str:
    """The same with line ends as they are, for text of several lines."""
    if len(text) <= size and text.isascii() and text.isprintable():
        return text
    return cut("\n".join(escaped(line, size) for line in text[: size + 1].split("\n")), size)


def without_middle(text: str, size: int) -> str:
    """A text with its beginning and its end, where it has more than `size` characters."""
    if len(text) <= size:
        return text
    half = size // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half:,} characters more)\n{text[-half:]}"
