"""Records of a small made-up world, and arms with random weights that answer them."""

import pytest

from diekae_rag.data import Record
from diekae_rag.evaluation import Arm

SHARED = {
    "sharing": "shared",
    "passage_attention": "independent",
    "positions": "all",
    "max_passage_tokens": 160,
}


@pytest.fixture
def records():
    """Prompts, passages and answers of different lengths; one record has no passages."""
    return [
        Record("Where does Ada live?", "Turin", ("Ada lives in Turin.",), ("Turin", "Torino")),
        Record("What does Cem play?", "the harp", ("Cem plays the harp.", "Ada sings.")),
        Record("Who keeps a goat?", "Bob", ("Bob keeps a black goat as a pet. " * 4,)),
        Record("Which colour has the goat that Bob keeps as a pet?", "a deep, shiny black"),
        Record("Who?", "Cem", ("Ada lives in Turin.", "Cem plays the harp.", "Bob keeps a goat.")),
    ]


@pytest.fixture
def shared(make_model):
    """A model with the layout that ships."""
    return make_model(**SHARED)


@pytest.fixture
def arms(shared):
    """One model's four ways."""
    modes = ("none", "stuff", "inject", "combine")
    return [Arm(mode, shared, mode) for mode in modes]
