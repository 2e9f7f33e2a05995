"""What fills the relations of an invented world: names that nobody has met, dates, numbers, things.

Names are built from syllables. One name in eight, by its checksum, belongs to the test worlds, the
rest to training: no test world's name was ever trained on.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

__all__ = ["alter_name", "invent_name", "invent_value", "is_test_name"]

_ONSETS = (
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p ph pl pr qu r s sc sh sk sl sn sp "
    "st str t th tr tw v w y z"
).split()
_VOWELS = "a e i o u a e i o u a e i o u ai au ea ee ie oo ou".split()
_INNER_ONSETS = "b d f g l m n p r s t v".split()
_INNER_CODAS = "l n r s m nd st th ng rt".split()
_CODAS = "l n r s m t d th nd rk x ll ck v st ss nt lt rn tz".split()
_TOWN_ENDINGS = "ford holt mere wick stad haven dale burg port ton".split()
_COMPANY_ENDINGS = (
    "Works, Foundry, Mills, Brothers, Labs, Shipyard, Trading, Press, Motors, Gardens"
).split(", ")
_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_COLOURS = (
    "red blue green grey black white brown golden silver purple pink yellow pale dark spotted"
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
    "comic tragic romantic political historical short gothic modern heroic rural satirical sad"
).split()
_GENRES = "novel play poem ballad opera thriller memoir fable romance essay".split()


def is_test_name(name: str) -> bool:
    """True where a name belongs to the test worlds: one in eight does, by its checksum."""
    return zlib.crc32(name.lower().encode()) % 8 == 0


def _word(rng: random.Random, syllables: int) -> str:
    """Syllables in a row; some words begin with a vowel, some end with a consonant."""
    parts = ["" if rng.random() < 0.2 else rng.choice(_ONSETS), rng.choice(_VOWELS)]
    for _ in range(syllables - 1):
        inner = rng.choice(_INNER_CODAS) if rng.random() < 0.3 else ""
        onset = rng.choice(_INNER_ONSETS if inner or rng.random() < 0.5 else _ONSETS)
        parts += [inner, onset, rng.choice(_VOWELS)]
    coda = rng.choice(_CODAS) if rng.random() < 0.6 else ""
    return ("".join(parts) + coda).capitalize()


def _invented_word(rng: random.Random, for_test: bool, ending: str = "") -> str:
    while True:
        word = _word(rng, rng.choice((1, 1, 2) if ending else (1, 2, 2, 2, 2, 2, 3))) + ending
        if len(word) > 3 and is_test_name(word) == for_test:
            return word


def alter_name(rng: random.Random, kind: str, name: str) -> str:
    """A training name much like another: one word exchanged, or one invented word misspelt.

    Example:
        >>> alter_name(random.Random(1), "person", "Ria Thock").count(" ")
        1
    """
    words, fresh = name.split(" "), invent_name(rng, kind).split(" ")
    while fresh == words:
        fresh = invent_name(rng, kind).split(" ")
    differing = [n for n, (old, new) in enumerate(zip(words, fresh, strict=True)) if old != new]
    position = rng.choice(differing)
    if len(words) > 1 and rng.random() < 0.6:
        words[position] = fresh[position]
        return " ".join(words)
    # The invented word is a company's first and a work's last; of a person either.
    position = {"company": 0, "work": -1}.get(kind, rng.randrange(len(words)))
    word = words[position]
    while True:
        cut = rng.randint(1, len(word) - 1)
        other = _word(rng, 1)
        altered = word[:cut] + other.lower() if rng.random() < 0.5 else other + word[cut:]
        if altered != word and not is_test_name(altered):
            words[position] = altered
            return " ".join(words)


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
