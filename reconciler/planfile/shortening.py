"""Names that are too long for their place. Tables and drawings call it."""


def shorten(text: str, width: int) -> str:
    """Text in so many characters: its beginning and its end, by which names differ."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"
