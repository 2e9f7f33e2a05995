"""The model by itself: what it takes, what it gives back, what it refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.prompts.default_prompts import DEFAULT_TEXT_QA_PROMPT
from llama_index.core.schema import Document, NodeWithScore, TextNode
from llama_index.llms.diekae import DiekaeLLM

from diekae_rag import DiekaeError, Passage

TEXT = "Ilma Bresk was born in Kolwick."


@pytest.mark.parametrize(
    "document",
    [
        TEXT,
        Passage(TEXT),
        {"text": TEXT},
        TextNode(text=TEXT, metadata={"file": "a.txt"}),
        Document(text=TEXT),
        NodeWithScore(node=TextNode(text=TEXT), score=0.5),
    ],
    ids=lambda document: type(document).__name__,
)
def test_documents_of_every_kind_are_read_alike(document, llm, spy, question):
    answer = llm.complete(question, documents=[document])

    assert answer.text == llm.engine.generate(question, [TEXT], max_new_tokens=4).text
    assert spy.encoders_read(TEXT)
    assert not spy.prompts_mention(TEXT)
    assert not spy.encoders_read("a.txt")


def test_no_documents_is_the_base_model_itself(llm, model, question):
    alone = llm.complete(question).text
    empty = llm.complete(question, documents=[]).text
    blank = llm.predict(DEFAULT_TEXT_QA_PROMPT, context_str=" \n", query_str=question)
    model.detach()

    assert alone == empty == blank == model.generate(question, mode="none", max_new_tokens=4).text


def test_sources_and_usage_come_back_as_json(llm, question):
    node = NodeWithScore(node=TextNode(text=TEXT, id_="7", metadata={"page": 3}), score=0.5)

    response = llm.complete(question, documents=[node])

    assert json.loads(json.dumps(response.raw))["sources"] == [
        {"id": "7", "text": TEXT, "score": 0.5, "metadata": {"page": 3}}
    ]
    usage = response.additional_kwargs["usage"]
    assert usage["new_tokens"] == usage["completion_tokens"] == 4
    assert usage["knowledge_tokens_kept_out"] > usage["prompt_tokens"] > 0
    assert json.dumps(response.additional_kwargs)


def test_a_message_brings_its_documents(llm, spy, question):
    message = ChatMessage(question, additional_kwargs={"documents": [TEXT]})

    answer = llm.chat([message]).message.content

    assert answer == llm.complete(question, documents=[TEXT]).text
    assert not spy.prompts_mention(TEXT)


def test_documents_of_messages_do_not_leak_through_the_hosts_wording(make_llm, spy, question):
    llm = make_llm(messages_to_prompt=messages_to_prompt)
    message = ChatMessage(question, additional_kwargs={"documents": [TEXT], "name": "Ada"})

    llm.chat([message])

    assert spy.encoders_read(TEXT)
    assert not spy.prompts_mention("Kolwick")
    assert spy.prompts_mention("Ada")


def test_an_answer_put_into_a_memory_carries_no_passages(llm, spy, question):
    first = llm.chat([ChatMessage(question)], documents=[TEXT]).message

    llm.chat([ChatMessage(question), first, ChatMessage("And where now?")])

    assert first.additional_kwargs == {}
    assert not spy.prompts_mention("Kolwick")


def test_a_conversation_is_worded_as_a_dialogue(llm, spy):
    messages = [
        ChatMessage("Hello.", role="system"),
        ChatMessage("A?"),
        ChatMessage("B", role="assistant"),
    ]

    llm.chat([*messages, ChatMessage("C?")])

    assert spy.prompts[0].strip() == "Hello.\nA? [SYS] B [USR] C?"


def test_an_image_is_refused(llm):
    message = ChatMessage(role="user", blocks=[TextBlock(text="What?"), ImageBlock(image=b"")])

    with pytest.raises(DiekaeError, match="image"):
        llm.chat([message])


def test_stop_strings_end_and_leave_the_answer(llm, question):
    whole = llm.complete(question, documents=[TEXT], max_new_tokens=12).text
    stop = whole[len(whole) // 2 :][:3]

    trimmed = llm.complete(question, documents=[TEXT], max_new_tokens=12, stop=[stop])

    assert trimmed.text == whole.partition(stop)[0]
    assert trimmed.raw["usage"]["finish_reason"] == "stop"


def test_options_may_be_set_for_all_calls_or_one(make_llm, question):
    drawn = make_llm(temperature=1.0, options={"seed": 3, "top_k": 50})

    assert drawn.complete(question).text == drawn.complete(question).text
    assert drawn.complete(question, max_new_tokens=1).raw["usage"]["new_tokens"] == 1
    assert drawn.complete(question, mode="none", documents=[TEXT]).raw["sources"] == []


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text(max_size=120), marker=st.sampled_from(["", "{query_str}", "[SYS]", "</s>"]))
def test_no_text_whatever_changes_the_prompt(text, marker, llm, spy, question):
    spy.prompts.clear()

    llm.predict(DEFAULT_TEXT_QA_PROMPT, context_str=f"{marker}{text}", query_str=question)

    assert [prompt.strip() for prompt in spy.prompts] == [question]


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture
def templated(model, monkeypatch):
    """The model, with a chat template for its tokenizer."""
    monkeypatch.setattr(model.tokenizer, "chat_template", TEMPLATE)
    return model


def test_a_chat_template_words_a_conversation_and_nothing_is_added_to_it(templated):
    talk = [ChatMessage("Be kind.", role="system"), ChatMessage("Who?")]
    seen = []
    handle = templated.base.register_forward_pre_hook(
        lambda _m, _a, kwargs: seen.append(kwargs["input_ids"][0].tolist()), with_kwargs=True
    )

    DiekaeLLM(engine=templated, max_new_tokens=1).chat(talk, documents=["Ilma Bresk is here."])
    handle.remove()

    tokenizer = templated.tokenizer
    text = "[system] Be kind.[user] Who?[assistant]"
    want = tokenizer(text, add_special_tokens=False).input_ids
    assert seen[0] == [tokenizer.bos_token_id, *want]


def test_the_plain_form_can_be_had_where_there_is_a_template(templated, spy):
    llm = DiekaeLLM(engine=templated, max_new_tokens=1, chat_format="plain")

    llm.chat([ChatMessage("Who?")])

    assert spy.prompts[0].strip() == "Who?"


def test_a_template_that_is_not_there_is_a_clear_error(model):
    with pytest.raises(ValueError, match="needs a tokenizer with a chat_template"):
        DiekaeLLM(engine=model, chat_format="template")


def test_a_wording_of_ones_own_comes_before_a_template(templated, spy):
    llm = DiekaeLLM(engine=templated, max_new_tokens=1, messages_to_prompt=lambda m: f"<{len(m)}>")

    llm.chat([ChatMessage("Who?")])

    assert spy.prompts[0].strip() == "<1>"
