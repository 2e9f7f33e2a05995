"""What can be said and asked in an invented world: kinds of things, relations, and their wordings.

Every relation has wordings of its own, and those made from its nouns ("The *author* of ... is ...")
that all relations share. The last statement and the last question of its own are kept out of
training, so that answers to wordings the reader never met can be measured.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["COMMON_QUESTIONS", "COMMON_STATEMENTS", "KINDS", "RELATIONS", "Relation"]

KINDS = ("person", "town", "company", "work")

COMMON_STATEMENTS = (
    "The {n} of {s} is {v}.",
    "The {n} of {s} was {v}.",
    "{s}'s {n} is {v}.",
    "As for {s}, the {n} is {v}.",
    "{v} is the {n} of {s}.",
    "{s} ({n}: {v}).",
)
COMMON_QUESTIONS = (
    "What is the {n} of {s}?",
    "What was the {n} of {s}?",
    "What is {s}'s {n}?",
    "Name the {n} of {s}.",
    "Tell me the {n} of {s}.",
    "Do you know the {n} of {s}?",
    "As for {s}, what is the {n}?",
    "Which is the {n} of {s}?",
)
"""Wordings that all relations share; ``{n}`` is one of the relation's nouns."""


@dataclass(frozen=True, slots=True)
class Relation:
    """One thing that can be known about a kind of entity.

    Args:
        name: Identifies the relation.
        kind: The kind of entity it is about, one of ``KINDS``.
        value: What fills it: a kind, or the name of a vocabulary in ``values.py``.
        statements: Ways to state it, with ``{s}`` for the entity and ``{v}`` for the value. The
            last is kept out of training.
        questions: Ways to ask for it, with ``{s}``. The last is kept out of training.
        nouns: What the relation is called.
        article: What stands before the value where it follows "is".
    """

    name: str
    kind: str
    value: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    nouns: tuple[str, ...]
    article: str = ""

    def state(self, rng: random.Random, subject: str, value: str, *, heldout: bool = False) -> str:
        """One sentence that says it.

        Args:
            rng: Chooses the wording.
            subject: The entity's name.
            value: What fills the relation.
            heldout: Word it in the way kept out of training.

        Example:
            >>> RELATIONS[0].state(random.Random(0), "Ria Thock", "Quaiford", heldout=True)
            'It was in Quaiford that Ria Thock was born.'
        """
        common = tuple(text.replace("{v}", self.article + "{v}") for text in COMMON_STATEMENTS)
        text = self._wording(rng, self.statements, common, heldout).format(s=subject, v=value)
        return text[0].upper() + text[1:]

    def ask(self, rng: random.Random, subject: str, *, heldout: bool = False) -> str:
        """One question for it; arguments as in ``state``.

        Example:
            >>> RELATIONS[0].ask(random.Random(0), "Ria Thock", heldout=True)
            'Which town is the birthplace of Ria Thock?'
        """
        return self._wording(rng, self.questions, COMMON_QUESTIONS, heldout).format(s=subject)

    def _wording(
        self, rng: random.Random, own: tuple[str, ...], common: tuple[str, ...], heldout: bool
    ) -> str:
        """A wording of its own or, as often, one that all relations share."""
        if heldout:
            return own[-1]
        if rng.random() < 0.5:
            return rng.choice(own[:-1])
        while True:
            text = rng.choice(common).replace("{n}", rng.choice(self.nouns))
            if text != own[-1]:
                return text


RELATIONS: tuple[Relation, ...] = (
    Relation(
        "birthplace",
        "person",
        "town",
        (
            "{s} was born in {v}.",
            "{s} came into the world in the town of {v}.",
            "The birthplace of {s} is {v}.",
            "It was in {v} that {s} was born.",
        ),
        (
            "Where was {s} born?",
            "What is the birthplace of {s}?",
            "In which town was {s} born?",
            "Which town is the birthplace of {s}?",
        ),
        ("birthplace", "place of birth", "native town"),
    ),
    Relation(
        "birth_date",
        "person",
        "date",
        (
            "{s} was born on {v}.",
            "The birthday of {s} is {v}.",
            "{s} came into the world on {v}.",
            "It was on {v} that {s} was born.",
        ),
        (
            "When was {s} born?",
            "What is the birthday of {s}?",
            "On which day was {s} born?",
            "Which day is the birthday of {s}?",
        ),
        ("birthday", "date of birth", "birth date"),
    ),
    Relation(
        "profession",
        "person",
        "profession",
        (
            "{s} works as a {v}.",
            "{s} earns a living as a {v}.",
            "By profession, {s} is a {v}.",
            "{s} is a {v} by profession.",
        ),
        (
            "What does {s} work as?",
            "What is the profession of {s}?",
            "How does {s} earn a living?",
            "As what does {s} earn a living?",
        ),
        ("profession", "occupation", "trade"),
    ),
    Relation(
        "employer",
        "person",
        "company",
        (
            "{s} is employed by {v}.",
            "{s} has a job at {v}.",
            "The employer of {s} is {v}.",
            "{v} is the employer of {s}.",
        ),
        (
            "Who employs {s}?",
            "Where does {s} have a job?",
            "What is the employer of {s}?",
            "Which company is the employer of {s}?",
        ),
        ("employer", "workplace"),
    ),
    Relation(
        "spouse",
        "person",
        "person",
        (
            "{s} is married to {v}.",
            "{s} and {v} are married.",
            "The spouse of {s} is {v}.",
            "{v} is the spouse of {s}.",
        ),
        (
            "Who is {s} married to?",
            "Who is the spouse of {s}?",
            "To whom is {s} married?",
            "Who is married to {s}?",
        ),
        ("spouse", "partner"),
    ),
    Relation(
        "pet",
        "person",
        "pet",
        (
            "{s} keeps a {v} as a pet.",
            "The pet of {s} is a {v}.",
            "{s} has a pet, a {v}.",
            "As a pet, {s} keeps a {v}.",
        ),
        (
            "What pet does {s} keep?",
            "What is the pet of {s}?",
            "Which pet does {s} have?",
            "Which animal does {s} keep as a pet?",
        ),
        ("pet", "animal"),
        "a ",
    ),
    Relation(
        "instrument",
        "person",
        "instrument",
        (
            "{s} plays the {v}.",
            "The instrument of {s} is the {v}.",
            "In the evening, {s} plays music on the {v}.",
            "It is the {v} that {s} plays.",
        ),
        (
            "What instrument does {s} play?",
            "What is the instrument of {s}?",
            "What does {s} play music on?",
            "Which instrument does {s} play in the evening?",
        ),
        ("instrument", "musical instrument"),
        "the ",
    ),
    Relation(
        "residence",
        "person",
        "town",
        (
            "{s} lives in {v}.",
            "The home of {s} is in {v}.",
            "{s} has a house in {v}.",
            "{v} is the home of {s}.",
        ),
        (
            "Where does {s} live?",
            "In which town does {s} live?",
            "Where is the home of {s}?",
            "Which town is the home of {s}?",
        ),
        ("home", "residence", "place of residence"),
    ),
    Relation(
        "river",
        "town",
        "river",
        (
            "{s} lies on the river {v}.",
            "The river {v} flows through {s}.",
            "The river that crosses {s} is the {v}.",
            "Through {s} flows the river {v}.",
        ),
        (
            "Which river flows through {s}?",
            "On which river does {s} lie?",
            "What river crosses {s}?",
            "What is the river that flows through {s}?",
        ),
        ("river",),
        "the ",
    ),
    Relation(
        "mayor",
        "town",
        "person",
        (
            "The mayor of {s} is {v}.",
            "{v} is the mayor of {s}.",
            "{s} is governed by {v}.",
            "{v} governs {s}.",
        ),
        (
            "Who is the mayor of {s}?",
            "Who governs {s}?",
            "By whom is {s} governed?",
            "What is the name of the mayor of {s}?",
        ),
        ("mayor", "head"),
    ),
    Relation(
        "population",
        "town",
        "number",
        (
            "{s} has {v} inhabitants.",
            "The population of {s} is {v}.",
            "{v} people live in {s}.",
            "{s} has a population of {v}.",
        ),
        (
            "How many people live in {s}?",
            "What is the population of {s}?",
            "How many inhabitants does {s} have?",
            "How large is the population of {s}?",
        ),
        ("population", "number of inhabitants"),
    ),
    Relation(
        "town_founded",
        "town",
        "year",
        (
            "{s} was settled in {v}.",
            "The first houses of {s} were built in {v}.",
            "People settled in {s} in {v}.",
            "It was in {v} that {s} was settled.",
        ),
        (
            "When was {s} settled?",
            "In which year was {s} settled?",
            "When were the first houses of {s} built?",
            "In which year were the first houses of {s} built?",
        ),
        ("year of settlement", "settlement year"),
    ),
    Relation(
        "specialty",
        "town",
        "goods",
        (
            "{s} is known for its {v}.",
            "People travel to {s} for its {v}.",
            "The pride of {s} is its {v}.",
            "Its {v} are the pride of {s}.",
        ),
        (
            "What is {s} known for?",
            "What is the pride of {s}?",
            "Why do people travel to {s}?",
            "For what do people travel to {s}?",
        ),
        ("pride", "attraction"),
    ),
    Relation(
        "headquarters",
        "company",
        "town",
        (
            "{s} has its headquarters in {v}.",
            "The head office of {s} is in {v}.",
            "{s} is based in {v}.",
            "{v} is the home of the head office of {s}.",
        ),
        (
            "Where is {s} based?",
            "Where does {s} have its headquarters?",
            "In which town is the head office of {s}?",
            "In which town is {s} based?",
        ),
        ("head office", "seat", "headquarters"),
    ),
    Relation(
        "founder",
        "company",
        "person",
        (
            "{s} was founded by {v}.",
            "{v} founded {s}.",
            "The founder of {s} is {v}.",
            "{v} is the founder of {s}.",
        ),
        (
            "Who founded {s}?",
            "Who is the founder of {s}?",
            "By whom was {s} founded?",
            "What is the name of the founder of {s}?",
        ),
        ("founder",),
    ),
    Relation(
        "company_founded",
        "company",
        "year",
        (
            "{s} was founded in {v}.",
            "{s} opened its doors in {v}.",
            "{s} has been in business since {v}.",
            "It was in {v} that {s} opened its doors.",
        ),
        (
            "When was {s} founded?",
            "In which year was {s} founded?",
            "Since when has {s} been in business?",
            "In which year has {s} opened its doors?",
        ),
        ("founding year", "year of foundation"),
    ),
    Relation(
        "product",
        "company",
        "goods",
        (
            "{s} makes {v}.",
            "{s} sells {v}.",
            "The main product of {s} is {v}.",
            "{v} are the main product of {s}.",
        ),
        (
            "What does {s} make?",
            "What does {s} sell?",
            "What is the main product of {s}?",
            "Which product does {s} sell?",
        ),
        ("main product", "product"),
    ),
    Relation(
        "employees",
        "company",
        "number",
        (
            "{s} has {v} employees.",
            "{v} people work at {s}.",
            "The staff of {s} counts {v} people.",
            "{s} has a staff of {v} people.",
        ),
        (
            "How many employees does {s} have?",
            "How many people work at {s}?",
            "How large is the staff of {s}?",
            "How many people does the staff of {s} count?",
        ),
        ("number of employees", "size of the staff"),
    ),
    Relation(
        "author",
        "work",
        "person",
        (
            "{s} was written by {v}.",
            "The author of {s} is {v}.",
            "{v} wrote {s}.",
            "{v} is the author of {s}.",
        ),
        (
            "Who wrote {s}?",
            "Who is the author of {s}?",
            "By whom was {s} written?",
            "What is the name of the author of {s}?",
        ),
        ("author", "writer"),
    ),
    Relation(
        "published",
        "work",
        "date",
        (
            "{s} was published on {v}.",
            "{s} appeared in print on {v}.",
            "The publication date of {s} is {v}.",
            "It was on {v} that {s} was published.",
        ),
        (
            "When was {s} published?",
            "What is the publication date of {s}?",
            "On which day was {s} published?",
            "On which day has {s} appeared in print?",
        ),
        ("publication date", "date of publication"),
    ),
    Relation(
        "genre",
        "work",
        "genre",
        (
            "{s} is a {v}.",
            "The genre of {s} is {v}.",
            "Critics call {s} a {v}.",
            "{s} is what critics call a {v}.",
        ),
        (
            "What is the genre of {s}?",
            "What kind of work is {s}?",
            "What do critics call {s}?",
            "Which genre is {s}?",
        ),
        ("genre", "kind"),
        "a ",
    ),
    Relation(
        "setting",
        "work",
        "town",
        (
            "{s} is set in {v}.",
            "The story of {s} takes place in {v}.",
            "The plot of {s} unfolds in {v}.",
            "{v} is where the story of {s} unfolds.",
        ),
        (
            "Where is {s} set?",
            "Where does the story of {s} take place?",
            "In which town is {s} set?",
            "In which town does the plot of {s} unfold?",
        ),
        ("setting", "scene"),
    ),
)
