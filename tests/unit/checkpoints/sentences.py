"""What every refusal is."""


def is_one_sentence(message: str) -> bool:
    """Whether it is one line that says what was found and, after it, what to do."""
    return "\n" not in message and "; " in message and len(message) < 700
