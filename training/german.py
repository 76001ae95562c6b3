"""German sentences of the demo language, each with its English translation."""

from random import Random
from typing import NamedTuple

from training import words
from training.grammar import capitalised


class Noun(NamedTuple):
    """A noun with its article."""

    nominative: str
    accusative: str
    english: str


class Pair(NamedTuple):
    """A German word or sentence and its English."""

    german: str
    english: str


NOUNS = (
    Noun("der Hund", "den Hund", "the dog"),
    Noun("die Katze", "die Katze", "the cat"),
    Noun("das Haus", "das Haus", "the house"),
    Noun("das Auto", "das Auto", "the car"),
    Noun("der Baum", "den Baum", "the tree"),
    Noun("die Frau", "die Frau", "the woman"),
    Noun("der Mann", "den Mann", "the man"),
    Noun("das Kind", "das Kind", "the child"),
    Noun("das Buch", "das Buch", "the book"),
    Noun("der Tisch", "den Tisch", "the table"),
    Noun("die Stadt", "die Stadt", "the city"),
    Noun("das Wasser", "das Wasser", "the water"),
    Noun("der Garten", "den Garten", "the garden"),
    Noun("die Schule", "die Schule", "the school"),
)
ADJECTIVES = (
    Pair("groß", "big"),
    Pair("klein", "small"),
    Pair("alt", "old"),
    Pair("neu", "new"),
    Pair("rot", "red"),
    Pair("blau", "blue"),
    Pair("grün", "green"),
    Pair("gut", "good"),
    Pair("kalt", "cold"),
    Pair("warm", "warm"),
    Pair("schnell", "fast"),
    Pair("schön", "beautiful"),
)
_COUNTED = (
    "null",
    "eins",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
)
NUMBERS = tuple(Pair(german, english) for german, english in zip(_COUNTED, words.NUMBERS, strict=False))
PLURALS = (
    Pair("Hunde", "dogs"),
    Pair("Bücher", "books"),
    Pair("Häuser", "houses"),
    Pair("Freunde", "friends"),
    Pair("Tage", "days"),
)
FIXED = (
    Pair("Guten Morgen.", "Good morning."),
    Pair("Gute Nacht.", "Good night."),
    Pair("Danke.", "Thank you."),
    Pair("Vielen Dank.", "Thank you very much."),
    Pair("Hallo Welt.", "Hello world."),
    Pair("Die Sonne geht im Osten auf.", "The sun rises in the east."),
    Pair("Wie geht es dir?", "How are you?"),
    Pair("Das ist ein Test.", "This is a test."),
    Pair("Guten Abend.", "Good evening."),
)
# m, n: nouns; x, y: adjectives; k: a number; s: a plural.
TEMPLATES = (
    Pair("{m.nominative} ist {x.german}.", "{m.english} is {x.english}."),
    Pair("Ich sehe {m.accusative}.", "I see {m.english}."),
    Pair("Wo ist {m.nominative}?", "Where is {m.english}?"),
    Pair("Ich habe {k.german} {s.german}.", "I have {k.english} {s.english}."),
    Pair(
        "{m.nominative} ist {x.german} und {n.nominative} ist {y.german}.",
        "{m.english} is {x.english} and {n.english} is {y.english}.",
    ),
    Pair("Heute ist {m.nominative} {x.german}.", "Today {m.english} is {x.english}."),
    Pair("Wir haben {m.accusative} und {n.accusative}.", "We have {m.english} and {n.english}."),
)


def sentence(rng: Random) -> Pair:
    """A German sentence with its translation: a fixed phrase, a row of numbers, or one by a template."""
    kind = rng.randrange(2 + len(TEMPLATES))
    if kind == 0:
        return rng.choice(FIXED)
    return _number_row(rng) if kind == 1 else _from_template(TEMPLATES[kind - 2], rng)


def _number_row(rng: Random) -> Pair:
    row = [rng.choice(NUMBERS) for _ in range(rng.randint(2, 6))]
    german, english = (" ".join(column) for column in zip(*row, strict=True))
    return Pair(capitalised(german) + ".", capitalised(english) + ".")


def _from_template(template: Pair, rng: Random) -> Pair:
    slots = {
        "m": rng.choice(NOUNS),
        "n": rng.choice(NOUNS),
        "x": rng.choice(ADJECTIVES),
        "y": rng.choice(ADJECTIVES),
        "k": rng.choice(NUMBERS[2:]),
        "s": rng.choice(PLURALS),
    }
    return Pair(*(capitalised(side.format(**slots)) for side in template))
