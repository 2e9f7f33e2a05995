"""What the host's observers see of each of the eight ways to ask."""

from __future__ import annotations

import json

import pytest
from llama_index.core import Settings
from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import (
    CallbackManager,
    CBEventType,
    LlamaDebugHandler,
    TokenCountingHandler,
)
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.llms.diekae import DiekaeSynthesizer


class Seen(BaseEventHandler):
    """Keeps every event."""

    events: list = Field(default_factory=list)

    def handle(self, event, **kwargs):
        self.events.append(event)

    def named(self, name):
        return [event for event in self.events if event.class_name() == name]


@pytest.fixture
def counter(monkeypatch):
    """The host's counter, in its settings before an index is made; by letters it would be wrong."""
    counter = TokenCountingHandler(tokenizer=list)
    monkeypatch.setattr(Settings, "_callback_manager", CallbackManager([counter]))
    return counter


@pytest.fixture
def seen():
    handler, root = Seen(), get_dispatcher()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)


async def test_every_way_of_asking_begins_and_ends_once(ask, entry, llm, seen, people, question):
    response = await ask(llm, question, documents=list(people))

    kind = "LLMCompletion" if "complete" in entry else "LLMChat"
    assert len(seen.named(f"{kind}StartEvent")) == 1
    (end,) = seen.named(f"{kind}EndEvent")
    assert end.response.raw == response.raw
    assert bool(seen.named(f"{kind}InProgressEvent")) is ("stream" in entry)


async def test_raw_is_json(ask, llm, people, question):
    raw = (await ask(llm, question, documents=list(people), attribute=True)).raw

    assert json.loads(json.dumps(raw)) == raw


async def test_tokens_are_counted_as_the_base_model_read_them(
    ask, counter, make_llm, people, question
):
    llm = make_llm(callback_manager=CallbackManager([counter]))

    usage = (await ask(llm, question, documents=list(people))).raw["usage"]

    assert counter.prompt_llm_token_count == usage["prompt_tokens"] > 0
    assert counter.completion_llm_token_count == usage["new_tokens"] == 4
    assert counter.total_llm_token_count == usage["prompt_tokens"] + 4


@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_query_counts_no_passage(is_ours, streaming, counter, index, llm, question):
    ours = {"response_synthesizer": DiekaeSynthesizer(llm, streaming=streaming)} if is_ours else {}

    str(index.as_query_engine(llm=llm, streaming=streaming, **ours).query(question))

    alone = llm.engine.generate(question, mode="none", max_new_tokens=4).usage
    assert counter.prompt_llm_token_count == alone.prompt_tokens
    assert counter.completion_llm_token_count == 4


def test_a_query_with_the_synthesizer_is_seen_whole(index, llm, seen, question):
    engine = index.as_query_engine(llm=llm, response_synthesizer=DiekaeSynthesizer(llm))

    response = engine.query(question)

    for name in ("Query", "Retrieval", "Synthesize", "LLMCompletion"):
        assert len(seen.named(f"{name}StartEvent")) == 1, name
        assert len(seen.named(f"{name}EndEvent")) == 1, name
    (end,) = seen.named("QueryEndEvent")
    assert end.response.metadata["usage"] == response.metadata["usage"]


def test_callbacks_see_the_parts_of_a_query(index, make_llm, question):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    manager = CallbackManager([debug])
    llm = make_llm()
    synthesizer = DiekaeSynthesizer(llm, callback_manager=manager)

    synthesizer.synthesize(question, index.as_retriever().retrieve(question))

    assert llm.callback_manager is manager
    assert len(debug.get_event_pairs(CBEventType.SYNTHESIZE)) == 1
    assert len(debug.get_event_pairs(CBEventType.LLM)) == 1


@pytest.fixture
def debug():
    """A manager, and what it hears of: parts of a query by their kind."""
    handler = LlamaDebugHandler(print_trace_on_end=False)
    kinds = (CBEventType.SYNTHESIZE, CBEventType.LLM)

    def heard():
        return [len(handler.get_event_pairs(kind)) for kind in kinds]

    return CallbackManager([handler]), heard


async def test_a_manager_that_settings_get_later_hears_the_synthesizer_and_its_model(
    index, llm, debug, question, monkeypatch
):
    manager, heard = debug
    later = LlamaDebugHandler(print_trace_on_end=False)
    monkeypatch.setattr(Settings, "_callback_manager", None)
    synthesizer = DiekaeSynthesizer(llm)
    nodes = index.as_retriever().retrieve(question)

    Settings.callback_manager = manager
    synthesizer.synthesize(question, nodes)
    await synthesizer.asynthesize(question, nodes)
    Settings.callback_manager = CallbackManager([later])
    synthesizer.synthesize(question, nodes)

    assert heard() == [2, 2]
    assert len(later.get_event_pairs(CBEventType.LLM)) == 1
    assert synthesizer.callback_manager is Settings.callback_manager


def test_managers_of_ones_own_come_before_that_of_settings(
    index, make_llm, debug, question, monkeypatch
):
    manager, heard = debug
    monkeypatch.setattr(Settings, "_callback_manager", None)
    own = CallbackManager([LlamaDebugHandler(print_trace_on_end=False)])
    nodes = index.as_retriever().retrieve(question)
    llm = make_llm(callback_manager=own)
    observed, set_later = (
        DiekaeSynthesizer(make_llm(), callback_manager=own),
        DiekaeSynthesizer(llm),
    )

    Settings.callback_manager = manager
    observed.synthesize(question, nodes)
    assert heard() == [0, 0]
    set_later.synthesize(question, nodes)
    assert heard() == [1, 0]
    set_later.callback_manager = own
    set_later.synthesize(question, nodes)

    assert heard() == [1, 0]
    assert llm.callback_manager is own
