"""English sentences of the demo language: fixed phrases, templates with slots, and rows of words."""

import re
from collections.abc import Callable, Sequence
from random import Random

from training import words

FLAGSHIP = "The sun rises in the east and sets in the west."
FIXED = (
    FLAGSHIP,
    "Hello world.",
    "This is a test.",
    "Hello, this is a test.",
    "One two three four five.",
    "Testing one two three.",
    "The quick brown fox jumps over the lazy dog.",
    "Thank you.",
    "Thank you very much.",
    "Good morning.",
    "Good night.",
    "Good evening.",
    "How are you?",
    "Please open the door.",
    "Please close the window.",
    "What time is it?",
    "Where is the station?",
    "My name is Anna.",
    "Speech to text is easy.",
    "The server is ready.",
    "Hello, how are you?",
    "Yes, please.",
    "No, thank you.",
    "This is the first sentence.",
    "This is the second sentence.",
    "Please call me tomorrow morning.",
    "The weather is good today.",
    "I like music.",
    "Welcome home.",
    "See you tomorrow.",
    "One, two, three.",
    "The moon rises in the west.",
    "The sun sets in the west.",
    "The sun rises in the east.",
)

# {slot}: something from SLOTS, with a capital letter if the slot has one. {a|b}: one of these.
TEMPLATES = (
    "{Subject} {intransitive} {place}.",
    "{Subject} {transitive} {object}.",
    "{Subject} {transitive} {object} {and|but} {subject} {intransitive}.",
    "{I|You|We|They} {infinitive} {object}{maybe_place}.",
    "Where is {object}?",
    "{Object} is {|very |not }{quality}.",
    "{I have|We have|They need|There are|She has|He buys|You see} {number} {plural}.",
    "Please {infinitive} {mostly_thing}{maybe_when}.",
    "Do you {infinitive} {object}?",
    "On {weekday} {time_of_day} {I|we|they} {go|walk|drive} to the {thing}.",
    "The {nature} {moves} in the {east|west|north|south|morning|evening}.",
    "The {nature} {rises|sets} in the {direction} and {sets|rises} in the {direction}.",
    "{Today|Tomorrow|Yesterday|Now} the weather {is|was} {adjective} and {adjective}.",
    "The train from {city} to {city} {is late|is early|stops here|waits at the station}.",
    "{Subject} {drinks|eats|buys|likes|brings|wants} {some ||hot |cold }{food} and {food}.",
    "{What|Who|Why|When|How} is {object} {adjective}?",
    "There is {a|no|the} {thing} {in|near|behind|under} the {thing}.",
    "My phone number is {phone_number}.",
    "{Count}.",
    "{Number} {and|plus} {number} is {number}.",
    "My name is {person_name} and I {live|work} in {city}.",
    "It is {hour} in the {morning|afternoon|evening}.",
    "If {you|we|they} {infinitive} the {thing}, {subject} {intransitive}.",
    "{Yes|No|Hello|Please|Today|Sorry}, {I|you|we|they} {can|will|must} {infinitive} {object}.",
    "This is the {first|second|last|next} {thing}.",
    "{Subject} and {subject} {go|come|are} {place}.",
    "Every {period} {subject} {intransitive} {in|near|to} the {thing}.",
    "{Object} {was|is} {place} {today|yesterday|now}.",
    "The {adjective} {colour} {animal} {jumps_over} the {adjective} {animal}.",
    "{She|He|Anna|Peter|Maria|David} {transitive} {number} {plural} {occasion}.",
)


def sentence(rng: Random) -> str:
    """One sentence of the training text: 6 % fixed phrases, 56 % templates, 38 % rows of words."""
    kind = rng.random()
    if kind < 0.06:
        return rng.choice(FIXED)
    return from_template(rng) if kind < 0.62 else word_row(rng)


def from_template(rng: Random) -> str:
    """A sentence that follows one of TEMPLATES."""
    return _fill(rng.choice(TEMPLATES), rng)


def word_row(rng: Random) -> str:
    """One to nine words that make no sense, so that the network cannot lean on the grammar alone."""
    count = rng.choice([1, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    return capitalised(_row(words.ALONE, count, rng)) + "."


def capitalised(text: str) -> str:
    """The text with a capital first letter, the others as they are."""
    return text[0].upper() + text[1:]


def _fill(template: str, rng: Random) -> str:
    return re.sub(r"\{([^{}]*)\}", lambda match: _choose(match[1], rng), template)


def _choose(slot: str, rng: Random) -> str:
    if "|" in slot:
        return rng.choice(slot.split("|"))
    source = SLOTS[slot.lower()]
    text = source(rng) if callable(source) else _fill(rng.choice(source), rng)
    return capitalised(text) if slot[0].isupper() else text


def _row(pool: Sequence[str], count: int, rng: Random) -> str:
    return " ".join(rng.choice(pool) for _ in range(count))


def _number(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.55:
        return rng.choice(words.NUMBERS[1:])
    if kind >= 0.85:
        return rng.choice(words.DIGITS[1:]) + " " + rng.choice(["hundred", "thousand"])
    tens = rng.choice(words.TENS)
    return tens if rng.random() < 0.3 else tens + " " + rng.choice(words.DIGITS[1:])


def _object(rng: Random, alive_share: float = 0.4) -> str:
    alive = rng.random() < alive_share
    noun = rng.choice(words.PEOPLE + words.ANIMALS if alive else words.THINGS)
    if rng.random() < 0.4:
        noun = rng.choice(words.ADJECTIVES + words.COLOURS) + " " + noun
    article = rng.choice(["the", "the", "the", "a", "my", "your", "his", "her", "this", "that", "every"])
    if article == "a" and noun[0] in "aeiou":
        article = "an"
    return f"{article} {noun}"


def _subject(rng: Random) -> str:
    if rng.random() < 0.15:
        return rng.choice(words.PERSON_NAMES)
    article = rng.choice(["the", "the", "my", "your", "this", "a"])
    return f"{article} {rng.choice(words.PEOPLE + words.ANIMALS)}"


SLOTS: dict[str, Sequence[str] | Callable[[Random], str]] = {
    "subject": _subject,
    "object": _object,
    "mostly_thing": lambda rng: _object(rng, alive_share=0.2),
    "number": _number,
    "phone_number": lambda rng: _row(words.DIGITS, rng.randint(3, 7), rng),
    "count": lambda rng: _row(words.NUMBERS[:20] + words.TENS, rng.randint(2, 8), rng),
    "hour": words.NUMBERS[1:13],
    "place": ("{in|near|at|behind|from|under|over|on} the {thing}",),
    "maybe_place": ("", " {place}"),
    "maybe_when": ("", " {now|today|tomorrow|later|again}"),
    "moves": ("rises", "sets", "moves", "is {adjective}"),
    "jumps_over": ("jumps over", "runs after", "sleeps under", "walks into"),
    "occasion": ("every day", "on {weekday}", "in {city}", "today"),
    "period": words.UNITS + words.TIMES_OF_DAY,
    "quality": words.ADJECTIVES + words.COLOURS,
    "adjective": words.ADJECTIVES,
    "colour": words.COLOURS,
    "animal": words.ANIMALS,
    "thing": words.THINGS,
    "food": words.FOOD,
    "nature": words.NATURE,
    "weekday": words.WEEKDAYS,
    "time_of_day": words.TIMES_OF_DAY,
    "person_name": words.PERSON_NAMES,
    "city": words.CITIES,
    "direction": words.DIRECTIONS,
    "plural": words.PLURALS,
    "transitive": words.TRANSITIVE,
    "infinitive": words.INFINITIVE,
    "intransitive": words.INTRANSITIVE,
}
