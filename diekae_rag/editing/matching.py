"""Which edits a prompt means.

Axes: D vector size.

An edit is meant where its subject is named and the same is said of it: in the same words, or in
others whose vector, with a placeholder for the subject, is near enough to that of the edit's own
prompt, and that have no figure, negation or the like of their own. Without the subject nothing is:
what is said of another one is never changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diekae_rag.editing.contrasts import says_otherwise
from diekae_rag.editing.edit import Edit
from diekae_rag.editing.names import EVERYDAY, is_everyday_word, is_in_longer_name
from diekae_rag.editing.sentences import Sentences
from diekae_rag.editing.subjects import SubjectTable
from diekae_rag.editing.vectors import TextVectors
from diekae_rag.editing.words import masked, plain_words, read_words

__all__ = ["Match", "Matcher", "relations_in"]

_REMEMBERED = 1 << 12  # vectors of what prompts said lately

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
Words = tuple[str, ...]


class Match(NamedTuple):
    """An edit that a prompt means, and how near: 1 where it says the same words.

    Args:
        edit: The edit.
        score: How near.
        is_whole: The prompt has the edit's own words, and no others.
    """

    edit: Edit
    score: float
    is_whole: bool = False


def relations_in(prompt: str, subject: Words) -> list[str]:
    """What is said of a subject in each clause of a prompt that names it.

    Example:
        >>> relations_in("Hello. Where was Ada born? Ada's job is", ("ada",))
        ['Where was X born?', "X's job is"]
    """
    text, words = read_words(prompt)
    table = SubjectTable()
    table.add(subject)
    places = table.find([word.text for word in words]).get(subject, [])
    spoken = Sentences(text, words).clauses(places)
    return [masked(text, words, places, clause) for clause in spoken]


class Matcher:
    """The edits that are there, by subject and by what they say of it.

    Args:
        embed: Texts to ``[N, D]`` vectors of length 1.
        vectors: Those of the edits' relations.
    """

    def __init__(self, embed: Embed, vectors: TextVectors) -> None:
        self._embed, self.vectors = embed, vectors
        self._subjects = SubjectTable()
        self._edits: dict[Words, dict[Words, dict[int, Edit]]] = {}
        self._remembered: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def add(self, number: int, edit: Edit) -> None:
        """Takes an edit in; of those with the same key, the one with the highest number counts."""
        subject, relation = edit.key
        self._subjects.add(subject)
        self._edits.setdefault(subject, {}).setdefault(relation, {})[number] = edit

    def remove(self, number: int, edit: Edit) -> None:
        """Takes an edit out."""
        subject, relation = edit.key
        self._subjects.remove(subject)
        relations = self._edits[subject]
        del relations[relation][number]
        if not relations[relation]:
            del relations[relation]
        if not relations:
            del self._edits[subject]

    def in_force(self, edit: Edit) -> int | None:
        """The number of the edit that counts, of those with the key of this one."""
        subject, relation = edit.key
        return max(self._edits.get(subject, {}).get(relation, {}), default=None)

    def find(self, prompt: str, threshold: float | None) -> list[Match]:
        """The edits that a prompt means, the nearest first.

        Of each clause that names a subject, the nearest edit of that subject.

        Args:
            prompt: The prompt.
            threshold: How near at least; ``None`` takes the same words only.
        """
        if not len(self._subjects):
            return []
        text, words = read_words(prompt)
        if not (named := self._subjects.find([word.text for word in words])):
            return []
        sentences = Sentences(text, words, EVERYDAY)
        found: dict[tuple[Words, Words], float] = {}
        whole: set[tuple[Words, Words]] = set()
        for subject, places in named.items():
            relations = self._edits[subject]
            names, beside = self._written_as(subject)
            places = [
                place
                for place in places
                if not all(is_everyday_word(sentences, place, name) for name in names)
            ]
            if places and (same := plain_words(masked(text, words, places))) in relations:
                found[subject, same] = 1.0
                whole.add((subject, same))
                continue
            places = [p for p in places if not is_in_longer_name(sentences, p, beside)]
            for clause in sentences.clauses(places):
                sentence = masked(text, words, places, sentences.span(clause[0]))
                said = masked(text, words, places, clause)
                own = (key for key in map(plain_words, (said, sentence)) if key in relations)
                relation, score = next(own, ()), 1.0
                if not relation:
                    if threshold is None:
                        continue
                    relation, score = self._nearest(said, sentence, subject)
                    if score < threshold:
                        continue
                found[subject, relation] = max(score, found.get((subject, relation), 0.0))
        ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        return [Match(self._newest(*key), score, key in whole) for key, score in ranked]

    def _newest(self, subject: Words, relation: Words) -> Edit:
        numbered = self._edits[subject][relation]
        return numbered[max(numbered)]

    def _written_as(self, subject: Words) -> tuple[set[str], set[str]]:
        """The ways in which edits write a subject, and all words that they say of it."""
        relations = self._edits[subject]
        names = {edit.subject for numbered in relations.values() for edit in numbered.values()}
        return names, {word for relation in relations for word in relation}

    def _nearest(self, said: str, sentence: str, subject: Words) -> tuple[Words, float]:
        """The relation that is nearest to what a prompt says; none where none can be the same.

        What is said may go on behind the sentence that names the subject.
        """
        relations = self._edits[subject]
        newest = {key: self._newest(subject, key) for key in sorted(relations)}
        keys = [k for k, e in newest.items() if not says_otherwise(sentence, e.relation, e.new)]
        if not keys:
            return (), -np.inf
        texts = [min(edit.relation for edit in relations[key].values()) for key in keys]
        self._have(texts)
        scores = self.vectors.similarities(self._vector(said), texts)
        best = max(range(len(keys)), key=lambda place: scores[place])
        return keys[best], min(scores[best], 1.0)

    def _have(self, texts: Iterable[str]) -> None:
        if missing := self.vectors.missing(texts):
            self.vectors.add(missing, self._embed(missing), must_keep=False)

    def _vector(self, text: str) -> NDArray[np.float32]:
        if text not in self._remembered:
            self._remembered[text] = self._embed([text])[0]
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end(text)
        return self._remembered[text]
