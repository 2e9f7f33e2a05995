"""Which templates say the same of a subject, found from the facts themselves."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from diekae_rag.counterfact.facts import Facts, template_of

__all__ = ["relation_names", "template_finder"]

_FEWEST, _LEAST = 3, 0.04  # neighbours, and the share of them, that make two templates one relation


def relation_names(facts: Facts) -> Mapping[str, str]:
    """A relation for each template: one of those that say the same.

    Neighbours of a fact have its relation and often another template, so templates that meet there
    often enough are of one relation.
    """
    edits = (*facts.train, *facts.valid)
    templates = list(dict.fromkeys(map(template_of, edits)))
    find = template_finder(templates)
    met: dict[str, Counter[str]] = defaultdict(Counter)
    for edit in edits:
        for prompt in edit.neighborhood_prompts:
            if (other := find(prompt)) is not None:
                met[template_of(edit)][other] += 1
    parents = {template: template for template in templates}

    def root(template: str) -> str:
        while parents[template] != template:
            template = parents[template]
        return template

    for template, others in met.items():
        enough = max(_FEWEST, _LEAST * others.total())
        for other, count in others.items():
            if count >= enough:
                parents[root(template)] = root(other)
    return {template: root(template) for template in templates}


def template_finder(templates: Sequence[str]) -> Callable[[str], str | None]:
    """What finds the template of a prompt: of several that fit, the one with the most words.

    Example:
        >>> find = template_finder(["{} is", "The home of {} is"])
        >>> find("The home of Ada is"), find("Ada is"), find("Where is Ada?")
        ('The home of {} is', '{} is', None)
    """
    parts = [template.partition("{}") for template in sorted(templates, key=len, reverse=True)]

    def find(prompt: str) -> str | None:
        for before, place, after in parts:
            is_longer = len(prompt) > len(before) + len(after)
            if is_longer and prompt.startswith(before) and prompt.endswith(after):
                return before + place + after
        return None

    return find
