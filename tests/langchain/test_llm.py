"""DiekaeLLM: every way in answers alike, and the base model never reads a document."""

import asyncio
import json
import pickle

import pytest
import torch
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.load import dumpd
from langchain_core.messages import HumanMessage
from langchain_core.prompt_values import StringPromptValue
from langchain_core.runnables import ConfigurableField
from langchain_diekae import DiekaeLLM

from diekae_rag import DiekaeModel, Passage, PromptTooLongError
from diekae_rag.prompting import start_tokens

from .conftest import DOCUMENTS, QUESTION, SECRETS, WAYS, collect

every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=list(WAYS))


@every_way
def test_every_way_in_gives_the_answer_of_the_core(llm, expected, ask):
    assert ask(llm, QUESTION, documents=DOCUMENTS) == expected != ask(llm, QUESTION)


@pytest.mark.parametrize("way", [way for way in WAYS if "generate" not in way])
def test_bound_documents_do_the_same(llm, expected, way):
    assert WAYS[way](llm.bind(documents=DOCUMENTS), QUESTION) == expected


@every_way
def test_the_base_model_never_reads_a_document(llm, read_by_base, ask):
    ask(llm, QUESTION, documents=DOCUMENTS)

    assert any(QUESTION in text for text in read_by_base)
    assert not [text for text in read_by_base if any(secret in text for secret in SECRETS)]
    assert not any("diekae" in text for text in read_by_base)


@every_way
def test_stuffing_puts_the_same_documents_into_the_prompt(llm, read_by_base, ask):
    ask(llm, QUESTION, documents=DOCUMENTS, mode="stuff")

    assert any("Zanzibar" in text for text in read_by_base)


@every_way
def test_without_documents_it_is_the_base_model(llm, model, ask):
    tokenizer = model.tokenizer
    worded = model.wording.tokenize_prompts(tokenizer, [QUESTION])[0]
    ids = torch.tensor([start_tokens(tokenizer) + worded])
    output = model.base.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    text = tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)

    answer = model.wording.read_answer(text)

    assert ask(llm, QUESTION) == ask(llm, QUESTION, documents=[]) == answer


@every_way
@pytest.mark.parametrize("length", [1, 3, 7])
def test_stop_strings_end_the_answer_alike_and_are_trimmed(model, ask, length):
    llm = DiekaeLLM(engine=model, max_new_tokens=12)
    whole = llm.invoke(QUESTION, documents=DOCUMENTS)
    stop = whole[4 : 4 + length]

    answer = ask(llm, QUESTION, documents=DOCUMENTS, stop=[stop])

    assert answer == whole[: whole.index(stop)]


@every_way
def test_stop_strings_of_constructor_and_call_both_count(model, ask):
    whole = DiekaeLLM(engine=model, max_new_tokens=12).invoke(QUESTION)
    early, late = whole[2:5], whole[6:9]

    llm = DiekaeLLM(engine=model, max_new_tokens=12, stop=[late])

    assert ask(llm, QUESTION, stop=[early]) == whole[: whole.index(early)]
    assert ask(llm, QUESTION, stop=["\0"]) == whole[: whole.index(late)]


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
def test_a_prompt_that_is_too_long_is_a_clear_error(llm, ask):
    with pytest.raises(PromptTooLongError, match="Shorten"):
        ask(llm, "why " * 600)


@every_way
@pytest.mark.parametrize("nothing", [[], None, [Document(page_content=" \n")]], ids=str)
def test_no_documents_are_no_knowledge(llm, ask, nothing):
    assert ask(llm, QUESTION, documents=nothing) == llm.invoke(QUESTION)


@pytest.mark.parametrize(
    "documents",
    [
        [d.page_content for d in DOCUMENTS],
        [Passage(d.page_content) for d in DOCUMENTS],
        [{"text": d.page_content} for d in DOCUMENTS],
        tuple(DOCUMENTS),
        [DOCUMENTS],
        {d.page_content: None for d in DOCUMENTS}.keys(),
    ],
    ids=["str", "Passage", "mapping", "tuple", "one list per prompt", "iterable"],
)
def test_documents_come_in_many_shapes(llm, expected, documents):
    assert llm.invoke(QUESTION, documents=documents) == expected


@pytest.mark.parametrize(
    "question", [StringPromptValue(text=QUESTION), [HumanMessage(QUESTION)]], ids=["value", "chat"]
)
def test_prompt_values_and_messages_are_questions_too(llm, question):
    assert llm.invoke(question, documents=DOCUMENTS) == "".join(
        llm.stream(question, documents=DOCUMENTS)
    )


def test_each_prompt_of_a_batch_may_have_its_own_documents(llm):
    prompts = [QUESTION, "Who is Bob?", QUESTION]
    documents = [DOCUMENTS[:1], None, DOCUMENTS[1:]]
    alone = [llm.invoke(p, documents=d) for p, d in zip(prompts, documents, strict=True)]

    assert llm.batch(prompts, documents=documents) == alone
    assert llm.batch(prompts, {"max_concurrency": 2}, documents=documents) == alone
    assert asyncio.run(llm.abatch(prompts, {"max_concurrency": 2}, documents=documents)) == alone
    assert alone[0] != alone[2]


def test_lists_of_documents_that_do_not_match_the_prompts_raise(llm):
    with pytest.raises(ValueError, match=r"2 prompts came with 3 lists"):
        llm.batch([QUESTION] * 2, documents=[DOCUMENTS] * 3)


def test_a_batch_is_one_batch_for_the_core(llm, monkeypatch):
    calls = []
    whole = DiekaeModel.generate
    monkeypatch.setattr(
        DiekaeModel,
        "generate",
        lambda self, p, *a, **kw: calls.append(p) or whole(self, p, *a, **kw),
    )

    llm.batch([QUESTION, "Who?", "When?"], documents=DOCUMENTS)

    assert calls == [[QUESTION, "Who?", "When?"]]


def test_several_answers_to_a_prompt_are_its_generations(llm):
    result = llm.generate([QUESTION, "Who?"], num_beams=2, num_return_sequences=2)

    assert [len(generations) for generations in result.generations] == [2, 2]


def test_generations_tell_their_usage_sources_and_reason(llm):
    result = llm.generate([QUESTION], documents=DOCUMENTS)

    info = result.generations[0][0].generation_info
    usage = info["usage"]
    assert (info["finish_reason"], info["mode"]) == ("length", "inject")
    assert usage["output_tokens"] == 8
    assert usage["total_tokens"] == usage["input_tokens"] + 8
    assert usage["knowledge_tokens"] == usage["knowledge_tokens_kept_out"] > 10
    assert 0 < usage["seconds_to_first_token"] <= usage["total_seconds"]
    assert info["sources"][0] == {
        "id": "ada",
        "text": "Ada lives in Zanzibar.",
        "score": 0.75,
        "metadata": {"source": "people.txt", "tags": ["a", ["b"]]},
    }
    assert info["sources"][1]["score"] is None
    assert result.llm_output["token_usage"]["knowledge_tokens"] == usage["knowledge_tokens"]


@pytest.mark.parametrize("mode", ["inject", "stuff", "combine", "none"])
def test_everything_returned_is_plain_json(llm, mode):
    result = llm.generate([QUESTION, "Who?"], documents=DOCUMENTS, mode=mode)

    json.dumps([result.llm_output, [g[0].generation_info for g in result.generations]])
    assert b"torch" not in pickle.dumps(result)


def test_totals_are_sums_over_the_batch(llm):
    result = llm.generate([QUESTION, "Who?"], documents=[DOCUMENTS, None])

    rows = [generations[0].generation_info["usage"] for generations in result.generations]
    for name, total in result.llm_output["token_usage"].items():
        assert total == sum(row[name] for row in rows)


class Recorder(BaseCallbackHandler):
    def __init__(self):
        self.prompts, self.tokens, self.results, self.errors = [], [], [], []

    def on_llm_start(self, serialized, prompts, **kwargs):
        self.prompts += prompts
        self.serialized = serialized

    def on_llm_new_token(self, token, **kwargs):
        self.tokens.append(token)

    def on_llm_end(self, response, **kwargs):
        self.results.append(response)

    def on_llm_error(self, error, **kwargs):
        self.errors.append(error)


@pytest.mark.parametrize("ask", [WAYS["stream"], WAYS["astream"]], ids=["stream", "astream"])
def test_callbacks_get_tokens_and_a_stream_ends_with_its_sources(llm, expected, ask):
    recorder = Recorder()

    ask(llm, QUESTION, documents=DOCUMENTS, config={"callbacks": [recorder]})

    assert len(recorder.tokens) > 1
    assert "".join(recorder.tokens) == expected
    (generation,) = recorder.results[0].generations[0]
    assert generation.text == expected
    assert generation.generation_info["sources"][0]["id"] == "ada"


def test_callbacks_hear_of_errors(llm):
    recorder = Recorder()

    with pytest.raises(PromptTooLongError):
        llm.invoke("why " * 600, config={"callbacks": [recorder]})

    assert len(recorder.errors) == 1


def test_nothing_of_the_engine_or_the_nonce_gets_into_traces(llm):
    recorder = Recorder()

    llm.invoke(QUESTION, config={"callbacks": [recorder]})

    traced = json.dumps([recorder.serialized, llm.asdict(), repr(llm)])
    assert "Llama" not in traced
    assert llm.nonce not in traced


def test_a_local_model_is_not_serialized(llm):
    assert not llm.is_lc_serializable()
    assert dumpd(llm)["type"] == "not_implemented"
    assert dumpd(llm.document_prompt)["type"] == "not_implemented"
    assert "engine" not in llm.model_dump()


def test_tokens_are_counted_by_the_base_models_tokenizer(llm, tokenizer):
    carrying = llm.attach_documents(QUESTION, DOCUMENTS)

    assert llm.get_num_tokens(carrying) == llm.get_num_tokens(QUESTION)
    assert tokenizer.decode(llm.get_token_ids(QUESTION)) == QUESTION


def test_async_calls_leave_the_event_loop_running(llm):
    async def ticks_during(work):
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await work
        ticking.cancel()
        return ticks

    options = {"documents": DOCUMENTS, "max_new_tokens": 60}

    assert asyncio.run(ticks_during(llm.ainvoke(QUESTION, **options))) > 5
    assert asyncio.run(ticks_during(collect(llm.astream(QUESTION, **options)))) > 5


def test_many_async_calls_at_once_answer_as_one_by_one(llm):
    prompts = [f"Where does {name} live?" for name in ("Ada", "Bob", "Cleo", "Dan")]
    alone = [llm.invoke(prompt, documents=DOCUMENTS) for prompt in prompts]

    async def all_at_once():
        streams = [collect(llm.astream(prompt, documents=DOCUMENTS)) for prompt in prompts]
        return await asyncio.gather(*streams)

    assert asyncio.run(all_at_once()) == alone


def test_retries_and_fallbacks_work(llm, model, expected, monkeypatch):
    failures = iter([RuntimeError("once")])
    whole = DiekaeModel.generate

    def fails_once(self, *args, **kwargs):
        for error in failures:
            raise error
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(DiekaeModel, "generate", fails_once)
    retrying = llm.with_retry(wait_exponential_jitter=False)
    assert retrying.invoke(QUESTION, documents=DOCUMENTS) == expected

    monkeypatch.setattr(DiekaeModel, "generate", whole)
    broken = DiekaeLLM(engine=model, max_new_tokens=511)  # leaves no room for the prompt
    safe = broken.with_fallbacks([llm])
    assert safe.invoke(QUESTION, documents=DOCUMENTS) == expected


def test_configurable_fields_do_not_load_the_engine_again(llm, model, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("loaded again")

    monkeypatch.setattr(DiekaeModel, "from_pretrained", refuse)
    chosen = llm.configurable_fields(max_new_tokens=ConfigurableField(id="length"))
    shorter = chosen.with_config(configurable={"length": 2})

    assert shorter.invoke(QUESTION) == model.generate(QUESTION, max_new_tokens=2).text
    prepared, _ = chosen.prepare({"configurable": {"length": 2}})
    assert prepared.engine is model
    assert prepared.nonce == llm.nonce


def test_an_engine_loaded_by_name_is_loaded_once_and_again_for_another_name(model, monkeypatch):
    loaded = []

    def load(name):
        loaded.append(name)
        return DiekaeModel(model.base, model.tokenizer, model.encoders)

    model.detach()
    monkeypatch.setattr(DiekaeModel, "from_pretrained", load)
    llm = DiekaeLLM(model="demo", max_new_tokens=2)
    chosen = llm.configurable_fields(
        mode=ConfigurableField(id="mode"), model=ConfigurableField(id="model")
    )

    chosen.with_config(configurable={"mode": "none"}).invoke(QUESTION)
    assert loaded == ["demo"]
    llm.engine.detach()
    other, _ = chosen.prepare({"configurable": {"model": "elsewhere"}})
    assert loaded == ["demo", "elsewhere"]
    assert other.engine is not llm.engine
    other.engine.detach()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, ValueError),
        ({"engine": "demo"}, TypeError),
        ({"model": "./nowhere"}, FileNotFoundError),
        ({"model": "demo", "mode": "telepathy"}, ValueError),
        ({"model": "demo", "stop": [""]}, ValueError),
        ({"model": "demo", "max_new_tokens": 0}, ValueError),
        ({"model": "demo", "temperature": -1}, ValueError),
        ({"model": "demo", "top_p": 0.5}, ValueError),
        ({"model": "demo", "options": {"max_length": 3}}, TypeError),
        ({"model": "demo", "options": {"temperature": 1.0}}, ValueError),
        ({"model": "demo", "options": {"stop": ["a"]}}, ValueError),
        ({"model": "demo", "streaming": True}, ValueError),
        ({"model": "demo", "nonce": "a]b"}, ValueError),
    ],
    ids=str,
)
def test_nonsense_is_refused_at_construction(fields, error):
    with pytest.raises(error):
        DiekaeLLM(**fields)


def test_engine_and_model_together_are_refused(model):
    with pytest.raises(ValueError, match="pass one of them"):
        DiekaeLLM(engine=model, model="demo")


def test_drawing_with_a_seed_is_repeatable_and_streamed_alike(model):
    llm = DiekaeLLM(engine=model, max_new_tokens=8, temperature=1.0, top_k=50, seed=3)

    first = llm.invoke(QUESTION, documents=DOCUMENTS)

    assert first == llm.invoke(QUESTION, documents=DOCUMENTS)
    assert first == "".join(llm.stream(QUESTION, documents=DOCUMENTS))
    assert first != llm.invoke(QUESTION, documents=DOCUMENTS, seed=4)
