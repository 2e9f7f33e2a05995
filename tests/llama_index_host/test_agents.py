"""Agents: those that work by text run, those that need tool calls say that they cannot."""

from __future__ import annotations

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.tools import QueryEngineTool
from llama_index.llms.diekae import DiekaeSynthesizer
from pydantic import BaseModel

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # within the host

ACTION = 'Thought: I need a tool.\nAction: people\nAction Input: {"input": "Who?"}~'
ANSWER = "Thought: I can answer.\nAnswer: In Kolwick.~"


@pytest.fixture(params=[False, True], ids=["text", "chat"])
def llm(request, make_llm):
    return make_llm(is_chat_model=request.param, max_new_tokens=120, stop=["~"])


@pytest.fixture
def people_tool(index, llm):
    engine = index.as_query_engine(llm=llm, response_synthesizer=DiekaeSynthesizer(llm))
    return QueryEngineTool.from_defaults(engine, name="people", description="Knows people.")


@pytest.mark.parametrize("streaming", [False, True])
async def test_an_agent_by_text_asks_an_engine_whose_passages_are_in_no_prompt(
    streaming, llm, people_tool, spy, say, people, question
):
    say(ACTION, "Ilma was.~", ANSWER)
    agent = ReActAgent(tools=[people_tool], llm=llm, streaming=streaming)

    result = await agent.run(question)

    first, asked, second = spy.prompts
    assert str(result) == "In Kolwick."
    assert "Knows people." in first
    assert asked.strip() == "Who?"
    assert "Observation: Ilma was." in second
    assert all(spy.encoders_read(text) for text in people)
    assert not any(spy.prompts_mention(text) for text in people)
    assert result.raw["usage"]["prompt_tokens"] > 100


async def test_a_host_that_picks_an_agent_picks_that_one(llm, people_tool, say, question):
    say(ACTION, "Ilma was.~", ANSWER)
    workflow = AgentWorkflow.from_tools_or_functions([people_tool], llm=llm)

    assert [type(agent) for agent in workflow.agents.values()] == [ReActAgent]
    assert str(await workflow.run(question)) == "In Kolwick."


async def test_an_answer_in_no_known_form_is_the_answer(llm, people_tool, say, question):
    say("In Kolwick.~")

    result = await ReActAgent(tools=[people_tool], llm=llm).run(question)

    assert str(result) == "In Kolwick."


async def test_an_error_of_the_model_reaches_whoever_runs_the_agent(
    llm, people_tool, question, monkeypatch
):
    def fail(*args, **options):
        raise ValueError("cannot do that")

    monkeypatch.setattr(llm.engine.base, "generate", fail)

    with pytest.raises(RuntimeError, match="cannot do that"):
        await ReActAgent(tools=[people_tool], llm=llm).run(question)


async def test_an_agent_that_calls_functions_is_refused(llm, people_tool, question):
    assert not llm.metadata.is_function_calling_model
    with pytest.raises(ValueError, match="LLM must be a FunctionCallingLLM"):
        await FunctionAgent(tools=[people_tool], llm=llm).run(question)


def test_so_is_a_program_that_does(llm):
    class Town(BaseModel):
        name: str

    with pytest.raises(ValueError, match="does not support function calling"):
        FunctionCallingProgram.from_defaults(Town, prompt_template_str="{x}", llm=llm)
