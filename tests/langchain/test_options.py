"""What may be said about an answer: in the constructor, in a call, and what is refused."""

import pytest
from langchain_core.documents import Document
from langchain_diekae import DiekaeLLM

from diekae_rag import PromptTooLongError

from .conftest import DOCUMENTS, QUESTION, WAYS

every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=list(WAYS))


@every_way
def test_an_answer_can_be_empty(llm, ask):
    whole = llm.invoke(QUESTION)

    assert ask(llm, QUESTION, stop=[whole[0]]) == ""


@every_way
def test_options_count_in_a_call_and_in_the_constructor(llm, model, ask):
    shorter = model.generate(QUESTION, max_new_tokens=3).text

    assert ask(llm, QUESTION, max_new_tokens=3) == shorter
    assert ask(DiekaeLLM(engine=model, max_new_tokens=3), QUESTION) == shorter


@every_way
def test_none_in_a_call_unsets_what_the_constructor_set(model, ask):
    greedy = model.generate(QUESTION, max_new_tokens=8).text
    llm = DiekaeLLM(
        engine=model,
        max_new_tokens=8,
        temperature=1.0,
        top_k=50,
        top_p=0.9,
        options={"repetition_penalty": 9.0},
    )

    unset = {"top_k": None, "top_p": None, "repetition_penalty": None}

    assert ask(llm, QUESTION, temperature=0.0, **unset) == greedy


@every_way
def test_none_in_a_call_leaves_what_cannot_be_unset(llm, ask):
    nothing = {"max_new_tokens": None, "temperature": None, "mode": None, "batch_size": None}

    assert ask(llm, QUESTION, **nothing) == ask(llm, QUESTION)


@every_way
@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 3},
        {"document": []},
        {"streaming": True},
        {"documents": "Ada lives in Turin."},
        {"documents": Document(page_content="a")},
        {"documents": [3]},
        {"documents": 3},
        {"documents": [Document(page_content="a"), ["b"]]},
    ],
    ids=str,
)
def test_what_cannot_be_honoured_raises(llm, ask, wrong):
    with pytest.raises(TypeError):
        ask(llm, QUESTION, **wrong)


@every_way
@pytest.mark.parametrize(
    "wrong",
    [
        {"stop": [""]},
        {"mode": "telepathy"},
        {"max_new_tokens": 0},
        {"temperature": -1.0},
        {"documents": [["a"]] * 5},
    ],
    ids=str,
)
def test_values_that_cannot_be_raise(llm, ask, wrong):
    with pytest.raises(ValueError, match=r"."):
        ask(llm, QUESTION, **wrong)


@every_way
@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_an_empty_question_raises(llm, ask, prompt):
    with pytest.raises(ValueError, match="empty"):
        ask(llm, prompt, documents=DOCUMENTS)


@every_way
def test_documents_that_can_be_read_once_only_are_refused(llm, ask):
    """A binding, a retry or a fallback would find nothing left, and answer without."""
    with pytest.raises(TypeError, match="read once"):
        ask(llm, QUESTION, documents=iter(DOCUMENTS))


@every_way
def test_a_prompt_that_is_too_long_is_a_clear_error(llm, ask):
    with pytest.raises(PromptTooLongError, match="Shorten"):
        ask(llm, "why " * 600)


def test_drawing_with_a_seed_is_repeatable_and_streamed_alike(model):
    llm = DiekaeLLM(engine=model, max_new_tokens=8, temperature=1.0, top_k=50, seed=3)

    first = llm.invoke(QUESTION, documents=DOCUMENTS)

    assert first == llm.invoke(QUESTION, documents=DOCUMENTS)
    assert first == "".join(llm.stream(QUESTION, documents=DOCUMENTS))
    assert first != llm.invoke(QUESTION, documents=DOCUMENTS, seed=4)
