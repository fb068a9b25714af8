"""How many of something, in words: "1 key", "3 keys", "1,234 entries"."""


def quantity(number: int, noun: str) -> str:
    """Return a number with its noun, given in the singular."""
    if number == 1:
        return f"1 {noun}"
    several = noun[:-1] + "ies" if noun.endswith("ry") else noun + ("es" if noun.endswith("ss") else "s")
    return f"{number:,} {several}"
