"""What fills the relations of an invented world: names that nobody has met, dates, numbers, things.

Names are built from syllables. One name in eight, by its checksum, belongs to the test worlds, the
rest to training: no test world's name was ever trained on.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

__all__ = ["invent_name", "invent_value", "is_test_name"]

_ONSETS = ("b br c ch d dr f fl g gr h j k kr l m n p pr qu r s sh sk st t th tr v w y z").split()
_VOWELS = "a e i o u a e i o ai au ea ie oo ou".split()
_CODAS = ["", "", "", "l", "n", "r", "s", "m", "th", "nd", "rk", "x", "ll", "ck", "v"]
_TOWN_ENDINGS = "ford holt mere wick stad haven dale burg port ton".split()
_COMPANY_ENDINGS = (
    "Works, Foundry, Mills, Brothers, Labs, Shipyard, Trading, Press, Motors, Gardens"
).split(", ")
_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_COLOURS = (
    "red blue green grey black white brown golden silver purple orange yellow pale dark spotted"
).split()
_ANIMALS = (
    "parrot hound cat goat rabbit owl tortoise pony goose fox lizard hamster raven donkey frog"
).split()
_MATERIALS = (
    "copper glass paper wooden silk stone leather iron clay woollen silver amber ivory straw wax"
).split()
_THINGS = (
    "bells kites clocks lamps chairs boots bottles masks combs baskets candles maps toys gloves "
    "pipes mirrors ladders buttons umbrellas spoons"
).split()
_PROFESSIONS = (
    "baker, clock maker, nurse, sailor, judge, glass blower, teacher, surgeon, gardener, painter, "
    "tax collector, bridge builder, beekeeper, lawyer, cook, piano tuner, pilot, carpenter, "
    "librarian, map maker, fisherman, dentist, tailor, miner, lighthouse keeper, stone mason, "
    "translator, chemist, train driver, potter, shepherd, book binder, plumber, dancer, locksmith"
).split(", ")
_INSTRUMENTS = (
    "violin, cello, flute, bass drum, harp, trumpet, church organ, piano, oboe, lute, banjo, "
    "accordion, tuba, clarinet, steel guitar, bagpipe, zither, horn, tambourine, viola"
).split(", ")
_TONES = (
    "comic tragic romantic political historical short gothic modern epic rural satirical sad"
).split()
_GENRES = "novel play poem ballad opera thriller memoir fable romance essay".split()


def is_test_name(name: str) -> bool:
    """True where a name belongs to the test worlds: one in eight does, by its checksum."""
    return zlib.crc32(name.lower().encode()) % 8 == 0


def _word(rng: random.Random, syllables: int) -> str:
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables)]
    return ("".join(parts) + rng.choice(_CODAS)).capitalize()


def _invented_word(rng: random.Random, for_test: bool, ending: str = "") -> str:
    while True:
        word = _word(rng, 1 if ending else rng.choice((1, 2, 2))) + ending
        if len(word) > 3 and is_test_name(word) == for_test:
            return word


def invent_name(rng: random.Random, kind: str, for_test: bool = False) -> str:
    """Makes up the name of a thing.

    Args:
        rng: Where chance comes from.
        kind: ``"person"``, ``"town"``, ``"company"``, ``"work"`` or ``"river"``.
        for_test: Whether the name is for a test world; training never sees those.

    Example:
        >>> invent_name(random.Random(3), "town") == invent_name(random.Random(3), "town")
        True
    """
    if kind == "person":
        return f"{_invented_word(rng, for_test)} {_invented_word(rng, for_test)}"
    if kind == "town":
        return _invented_word(rng, for_test, rng.choice(_TOWN_ENDINGS))
    if kind == "company":
        return f"{_invented_word(rng, for_test)} {rng.choice(_COMPANY_ENDINGS)}"
    if kind == "work":
        noun = rng.choice(_THINGS).removesuffix("s").capitalize()
        return f"The {noun} of {_invented_word(rng, for_test)}"
    return _invented_word(rng, for_test)


def _date(rng: random.Random) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(_MONTHS)} {rng.randint(1780, 2019)}"


def _number(rng: random.Random) -> str:
    return f"{rng.randint(12, 9_999) * rng.choice((1, 1, 10, 100)):,}"


_VOCABULARIES: dict[str, Callable[[random.Random], str]] = {
    "date": _date,
    "year": lambda rng: str(rng.randint(1100, 2019)),
    "number": _number,
    "profession": lambda rng: rng.choice(_PROFESSIONS),
    "instrument": lambda rng: rng.choice(_INSTRUMENTS),
    "pet": lambda rng: f"{rng.choice(_COLOURS)} {rng.choice(_ANIMALS)}",
    "goods": lambda rng: f"{rng.choice(_MATERIALS)} {rng.choice(_THINGS)}",
    "genre": lambda rng: f"{rng.choice(_TONES)} {rng.choice(_GENRES)}",
}


def invent_value(rng: random.Random, value: str, for_test: bool = False) -> str:
    """Makes up what fills a relation: a name, or something from a vocabulary.

    Example:
        >>> len(invent_value(random.Random(0), "year"))
        4
    """
    vocabulary = _VOCABULARIES.get(value)
    return vocabulary(rng) if vocabulary else invent_name(rng, value, for_test)
