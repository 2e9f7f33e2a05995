"""Unchanged query engines: passages go to the encoders, the prompt is the question."""

from __future__ import annotations

import pytest
from llama_index.core import MockEmbedding, PromptTemplate, Settings, VectorStoreIndex
from llama_index.core.base.response.schema import Response
from llama_index.core.chat_engine.context import (
    DEFAULT_REFINE_TEMPLATE as CHAT_ENGINE_REFINE_TEMPLATE,
)
from llama_index.core.prompts import ChatPromptTemplate, RichPromptTemplate
from llama_index.core.prompts.default_prompts import DEFAULT_REFINE_PROMPT
from llama_index.core.schema import TextNode

JOINING = ["compact", "tree_summarize", "simple_summarize", "compact_accumulate"]
WITH_CONTEXT = [*JOINING, "refine", "accumulate"]
STREAMED = ["compact", "refine", "tree_summarize", "simple_summarize"]


def assert_only_encoders_read(spy, people, question):
    assert all(spy.encoders_read(text) for text in people)
    assert {prompt.strip() for prompt in spy.prompts} == {question}


@pytest.mark.parametrize("mode", WITH_CONTEXT)
def test_a_query_engine_sends_context_to_the_encoders(mode, index, llm, spy, people, question):
    answer = index.as_query_engine(llm=llm, response_mode=mode).query(question)

    assert_only_encoders_read(spy, people, question)
    assert answer.source_nodes


@pytest.mark.parametrize("mode", WITH_CONTEXT)
async def test_so_does_an_async_query(mode, index, llm, spy, people, question):
    engine = index.as_query_engine(llm=llm, response_mode=mode, use_async=True)

    answer = await engine.aquery(question)

    assert_only_encoders_read(spy, people, question)
    assert str(answer) == str(index.as_query_engine(llm=llm, response_mode=mode).query(question))


@pytest.mark.parametrize("mode", STREAMED)
def test_so_does_a_streamed_query(mode, index, llm, spy, people, question):
    engine = index.as_query_engine(llm=llm, response_mode=mode, streaming=True)

    answer = "".join(engine.query(question).response_gen)

    assert_only_encoders_read(spy, people, question)
    assert answer == str(index.as_query_engine(llm=llm, response_mode=mode).query(question))


@pytest.mark.parametrize("mode", STREAMED)
async def test_so_does_an_async_streamed_query(mode, index, llm, spy, people, question):
    engine = index.as_query_engine(llm=llm, response_mode=mode, streaming=True)

    response = await engine.aquery(question)
    generator = getattr(response, "async_response_gen", None)
    pieces = generator() if callable(generator) else response.response_gen
    answer = "".join([piece async for piece in pieces])

    assert_only_encoders_read(spy, people, question)
    assert answer == str(index.as_query_engine(llm=llm, response_mode=mode).query(question))


def test_a_vector_index_works_unchanged(llm, spy, people, question):
    nodes = [TextNode(text=text) for text in people]
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=8))

    index.as_query_engine(llm=llm, similarity_top_k=3).query(question)

    assert_only_encoders_read(spy, people, question)


async def ask(index, question, **chosen):
    return str(index.as_query_engine(**chosen).query(question))


async def aask(index, question, **chosen):
    return str(await index.as_query_engine(**chosen).aquery(question))


async def stream(index, question, **chosen):
    return str(index.as_query_engine(streaming=True, **chosen).query(question))


async def astream(index, question, **chosen):
    response = await index.as_query_engine(streaming=True, **chosen).aquery(question)
    return str(response) if isinstance(response, Response) else str(await response.get_response())


@pytest.mark.parametrize("way", [ask, aask, stream, astream])
async def test_generation_reads_no_context(way, index, llm, spy, question):
    answer = await way(index, question, llm=llm, response_mode="generation")

    assert answer == llm.complete(question).text
    assert spy.passages == []
    assert {prompt.strip() for prompt in spy.prompts} == {question}


@pytest.mark.parametrize("way", [ask, aask, stream, astream])
@pytest.mark.parametrize("mode", ["no_text", "context_only"])
async def test_modes_that_only_retrieve_ask_no_model(
    mode, way, index, llm, spy, people, question, monkeypatch
):
    monkeypatch.setattr(Settings, "_llm", llm)  # these two modes do not look at llm=

    answer = await way(index, question, llm=llm, response_mode=mode)

    assert answer == ("\n\n".join(people) if mode == "context_only" else "None")
    assert spy.prompts == spy.passages == []


@pytest.mark.parametrize("way", [stream, astream])
@pytest.mark.parametrize("mode", ["accumulate", "compact_accumulate"])
async def test_the_host_streams_no_accumulated_answers(mode, way, index, llm, spy, question):
    with pytest.raises(ValueError, match="Unable to stream in Accumulate response mode"):
        await way(index, question, llm=llm, response_mode=mode)
    assert spy.prompts == spy.passages == []


def test_joined_nodes_are_separate_passages_again(index, llm, spy, people, question):
    index.as_query_engine(llm=llm, response_mode="compact").query(question)

    assert len(spy.passages) == len(people)


def test_refining_gives_the_answer_so_far_to_the_encoders(index, llm, spy, people, question):
    index.as_query_engine(llm=llm, response_mode="refine").query(question)

    first = llm.complete(question, documents=[people[0]]).text
    assert len(spy.prompts) == 4
    assert spy.encoders_read(f"{question} {first}".strip())


@pytest.mark.parametrize(
    "template",
    [
        DEFAULT_REFINE_PROMPT,
        ChatPromptTemplate.from_messages(
            [("system", CHAT_ENGINE_REFINE_TEMPLATE), ("user", "{query_str}")]
        ),
    ],
    ids=["query engine", "chat engine"],
)
def test_no_limit_of_the_encoders_leaves_out_the_answer_so_far(
    template, llm, spy, people, question
):
    llm.engine.encoders.config.max_passages = 2

    with pytest.warns(UserWarning, match="encoders read 2 passages"):
        llm.predict(
            template,
            query_str=question,
            existing_answer="In Kolwick.",
            context_msg="\n\n".join(people),
        )

    assert spy.encoders_read(f"{question} In Kolwick.")
    assert spy.encoders_read(people[0])
    assert not spy.encoders_read(people[1])


def test_context_changes_the_answer(index, llm, question):
    answer = str(index.as_query_engine(llm=llm).query(question))

    assert answer != llm.complete(question).text


def test_a_query_equals_the_same_passages_by_hand(index, llm, people, question):
    answer = str(index.as_query_engine(llm=llm).query(question))

    assert answer == llm.complete(question, documents=list(people)).text


def test_a_template_of_the_users_own_keeps_its_words(index, llm, spy, people, question):
    template = PromptTemplate("Be brief.\n{context_str}\nQuestion: {query_str}")

    index.as_query_engine(llm=llm, text_qa_template=template).query(question)

    assert [prompt.strip() for prompt in spy.prompts] == [f"Be brief.\n\nQuestion: {question}"]
    assert all(spy.encoders_read(text) for text in people)


@pytest.mark.parametrize(
    "template",
    [
        PromptTemplate(
            "{my_context} Q: {my_query}",
            template_var_mappings={"context_str": "my_context", "query_str": "my_query"},
        ),
        RichPromptTemplate("{{ context_str }} Q: {{ query_str }}"),
        ChatPromptTemplate.from_messages(
            [("system", "Read {context_str}."), ("user", "{query_str}")]
        ),
        PromptTemplate(
            "{context_str} Q: {query_str}",
            function_mappings={"context_str": lambda **values: values["context_str"].upper()},
        ),
    ],
    ids=["mapped names", "rich", "chat", "function"],
)
def test_no_kind_of_template_leaks(template, index, llm, spy, people, question):
    index.as_query_engine(llm=llm, text_qa_template=template).query(question)

    assert all(spy.encoders_read(text) for text in people)
    assert not any(spy.prompts_mention(word) for word in ("Kolwick", "KOLWICK", "Odell"))
    assert spy.prompts_mention(question)


def test_what_a_function_brings_along_by_itself_stays(index, llm, spy, people, question):
    given = []
    template = PromptTemplate(
        "{today}, {context_str}: {query_str}",
        function_mappings={
            "today": lambda **values: "In May",
            "context_str": lambda **values: given.append(values["context_str"]),
        },
    )

    index.as_query_engine(llm=llm, text_qa_template=template).query(question)

    assert spy.prompts_mention("In May")
    assert given[-1] == ""
    assert all(spy.encoders_read(text) for text in people)


@pytest.mark.parametrize("mode", ["compact", "tree_summarize", "simple_summarize", "accumulate"])
def test_a_chat_model_may_get_its_context_in_messages(mode, index, make_llm, spy, people, question):
    llm = make_llm(is_chat_model=True)

    index.as_query_engine(llm=llm, response_mode=mode, multimodal=True).query(question)

    assert_only_encoders_read(spy, people, question)


@pytest.mark.parametrize("mode", WITH_CONTEXT)
def test_a_chat_model_reads_the_question_alone(mode, index, make_llm, spy, people, question):
    llm = make_llm(is_chat_model=True)

    index.as_query_engine(llm=llm, response_mode=mode).query(question)

    assert_only_encoders_read(spy, people, question)


def test_stuffing_is_a_choice(index, make_llm, spy, people, question):
    index.as_query_engine(llm=make_llm(mode="stuff")).query(question)

    assert all(spy.prompts_mention(text) for text in people)
    assert spy.passages == []


def test_its_prompt_helper_packs_by_what_encoders_can_read(make_llm, spy, question, monkeypatch):
    texts = [f"Person {n} lives in Town {n}, as everyone in the valley knows." for n in range(40)]
    llm = make_llm()
    llm.engine.base.config.max_position_embeddings = 1024
    index = VectorStoreIndex(
        [TextNode(text=text) for text in texts], embed_model=MockEmbedding(embed_dim=4)
    )
    index.as_query_engine(llm=llm, similarity_top_k=40).query(question)
    calls = len(spy.prompts)
    monkeypatch.setattr(Settings, "_prompt_helper", llm.prompt_helper)

    index.as_query_engine(llm=llm, similarity_top_k=40).query(question)

    assert calls > 1
    assert len(spy.prompts) == calls + 1
