"""LangChain's own tests of chat models; what a reader without tools cannot do is said."""

from contextlib import nullcontext
from typing import Any, ClassVar

import pytest
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_diekae import ChatDiekae
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from diekae_rag import DiekaeModel
from tests.conftest import build_base, build_encoders, talking

NO_TOOLS = "The base model was not trained to call tools, and what it says is not parsed for calls."
NO_PROMISE = (
    "A model that can only be asked for JSON refuses what would promise it: function calls."
)
ONE_MODEL = "Another model is another object, or a configurable field: no argument of a call."
TEXT_ONLY = "The base model and its encoders read text."
cannot_call = pytest.mark.xfail(reason=NO_TOOLS, raises=NotImplementedError, strict=True)
one_model = pytest.mark.xfail(reason=ONE_MODEL, raises=TypeError, strict=True)
reads_text_only = pytest.mark.xfail(reason=TEXT_ONLY, raises=ValueError, strict=True)


@pytest.fixture(scope="module")
def reader(tokenizer, tmp_path_factory):
    """A folder that holds a folder called reader: a tiny base model and its encoders."""
    folder = tmp_path_factory.mktemp("standard")
    base = build_base(len(tokenizer))
    base.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    model = DiekaeModel(base, tokenizer, build_encoders(base_model_name_or_path="../base"))
    model.encoders.save_pretrained(folder / "reader")
    return folder


class _Setup:
    """One name for a model wherever the tests run."""

    chat_model_class: ClassVar[type[ChatDiekae]] = ChatDiekae
    chat_model_params: ClassVar[dict[str, Any]] = {"model": "reader"}
    has_tool_calling = False
    has_tool_choice = False

    @pytest.fixture(autouse=True)
    def beside_the_reader(self, reader, monkeypatch):
        monkeypatch.chdir(reader)


class TestChatDiekaeUnit(_Setup, ChatModelUnitTests):
    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        """What a model in this process can honour: a key, a timeout and retries raise."""
        return {"temperature": 0, "max_tokens": 100, "stop": []}

    @pytest.mark.xfail(reason="Nothing about it is read from the environment.", strict=True)
    def test_init_from_env(self) -> None:
        assert self.init_from_env_params[0]

    @pytest.mark.xfail(
        reason="allowed_objects='all' is langchain-core's own list of packages, which lacks this "
        "one; with allowed_objects=[ChatDiekae] it loads (test_chat_settings.py).",
        raises=ValueError,
    )
    def test_serdes(self, model) -> None:
        load(dumpd(model), allowed_objects="all", valid_namespaces=["langchain_diekae"])

    @cannot_call
    def test_bind_tool_pydantic(self, model, my_adder_tool) -> None:
        model.bind_tools([my_adder_tool])

    @pytest.mark.xfail(reason=NO_PROMISE, raises=NotImplementedError, strict=True)
    def test_with_structured_output(self, model) -> None:
        schema = {"title": "Town", "type": "object", "properties": {}}
        model.with_structured_output(schema)
        model.with_structured_output(schema, method="json_mode", strict=False)
        model.with_structured_output(schema, method="function_calling")


def _bind(model) -> None:
    model.bind_tools([{"name": "add", "description": "Adds.", "input_schema": {}}])


def _look_at(model, block) -> None:
    model.invoke([HumanMessage([{"type": "text", "text": "What is this?"}, block])])


class TestChatDiekaeIntegration(_Setup, ChatModelIntegrationTests):
    @property
    def supports_json_mode(self) -> bool:
        """True: where a prompt asks for JSON, its answer is read as such."""
        return True

    @pytest.fixture(autouse=True)
    def a_joke(self, request, beside_the_reader, model):
        """Where JSON is asked for, the base model says some, as one that was trained to would."""
        is_asked = "structured_output" in request.node.name or "json_mode" in request.node.name
        with talking(model.engine) if is_asked else nullcontext(lambda text: None) as say:
            say('{"setup": "Why?", "punchline": "Cats."}')
            yield

    @property
    def supports_anthropic_inputs(self) -> bool:
        """Its test binds tools first; ``test_blocks_of_other_models_are_read`` below does not."""
        return False

    @one_model
    def test_invoke_with_model_override(self, model) -> None:
        model.invoke("Hello", model="reader")

    @one_model
    async def test_ainvoke_with_model_override(self, model) -> None:
        await model.ainvoke("Hello", model="reader")

    @one_model
    def test_stream_with_model_override(self, model) -> None:
        next(model.stream("Hello", model="reader"))

    @one_model
    async def test_astream_with_model_override(self, model) -> None:
        await anext(model.astream("Hello", model="reader"))

    @cannot_call
    def test_tool_calling(self, model) -> None:
        _bind(model)

    @cannot_call
    async def test_tool_calling_async(self, model) -> None:
        _bind(model)

    @cannot_call
    def test_bind_runnables_as_tools(self, model) -> None:
        _bind(model)

    @cannot_call
    def test_tool_message_histories_string_content(self, model) -> None:
        _bind(model)

    @cannot_call
    def test_tool_message_histories_list_content(self, model) -> None:
        _bind(model)

    @cannot_call
    def test_tool_choice(self, model) -> None:
        _bind(model)

    @cannot_call
    def test_tool_calling_with_no_arguments(self, model) -> None:
        _bind(model)

    @cannot_call
    def test_tool_message_error_status(self, model) -> None:
        _bind(model)

    @cannot_call
    def test_structured_few_shot_examples(self, model) -> None:
        _bind(model)

    @cannot_call
    def test_agent_loop(self, model) -> None:
        _bind(model)

    @cannot_call
    def test_unicode_tool_call_integration(self, model) -> None:
        _bind(model)

    @cannot_call
    def test_anthropic_inputs(self, model) -> None:
        _bind(model)

    @reads_text_only
    def test_pdf_inputs(self, model) -> None:
        _look_at(model, {"type": "file", "base64": "QQ==", "mime_type": "application/pdf"})

    @reads_text_only
    def test_audio_inputs(self, model) -> None:
        _look_at(model, {"type": "audio", "base64": "QQ==", "mime_type": "audio/wav"})

    @reads_text_only
    def test_image_inputs(self, model) -> None:
        _look_at(model, {"type": "image", "base64": "QQ==", "mime_type": "image/png"})

    @reads_text_only
    def test_image_tool_message(self, model) -> None:
        image = {"type": "image", "base64": "QQ==", "mime_type": "image/png"}
        model.invoke([HumanMessage("Who?"), ToolMessage([image], tool_call_id="1")])

    @reads_text_only
    def test_pdf_tool_message(self, model) -> None:
        file = {"type": "file", "base64": "QQ==", "mime_type": "application/pdf"}
        model.invoke([HumanMessage("Who?"), ToolMessage([file], tool_call_id="1")])

    @pytest.mark.xfail(reason="There is no HTTP to record: it runs in this process.", strict=True)
    def test_stream_time(self, model) -> None:
        assert self.enable_vcr_tests


def test_blocks_of_other_models_are_read(reader, monkeypatch):
    """What the standard tests of tools say besides tools: histories that other models left."""
    monkeypatch.chdir(reader)
    chat = ChatDiekae(model="reader", max_new_tokens=4)
    text = {"type": "text", "text": "Hmm.", "cache_control": {"type": "ephemeral"}}
    use = {"type": "tool_use", "input": {"a": 1}, "id": "1", "name": "add"}
    call = {"name": "add", "args": {"a": 1}, "id": "1", "type": "tool_call"}
    thinking = {"type": "thinking", "thinking": "A greeting.", "signature": "x"}

    answer = chat.invoke(
        [
            HumanMessage([text]),
            AIMessage([text, use], tool_calls=[call]),
            ToolMessage("3", tool_call_id="1", status="error"),
            AIMessage([thinking, text]),
            HumanMessage("Hello.", name="example_user"),
        ]
    )

    assert answer.usage_metadata["output_tokens"] == 4
