"""Whoever asked learns what went wrong: no error becomes an empty response."""

from __future__ import annotations

import pytest

MODES = ["compact", "refine", "tree_summarize"]


@pytest.fixture(params=[ValueError, TypeError])
def broken(request, llm, monkeypatch):
    """The model, failing while it generates with an error that query engines swallow."""

    def fail(*args, **options):
        raise request.param("cannot do that")

    monkeypatch.setattr(llm.engine.base, "generate", fail)
    return llm


@pytest.mark.parametrize("mode", MODES)
def test_errors_reach_whoever_asked(mode, index, broken, question):
    with pytest.raises(RuntimeError, match="cannot do that"):
        index.as_query_engine(llm=broken, response_mode=mode).query(question)


@pytest.mark.parametrize("mode", MODES)
async def test_errors_reach_whoever_asked_in_a_coroutine(mode, index, broken, question):
    with pytest.raises(RuntimeError, match="cannot do that"):
        await index.as_query_engine(llm=broken, response_mode=mode).aquery(question)


@pytest.mark.parametrize("mode", MODES)
def test_errors_reach_whoever_reads_a_stream(mode, index, broken, question):
    engine = index.as_query_engine(llm=broken, response_mode=mode, streaming=True)

    with pytest.raises(RuntimeError, match="cannot do that"):
        str(engine.query(question))


@pytest.mark.parametrize("mode", ["compact", "refine"])
async def test_errors_reach_whoever_reads_an_async_stream(mode, index, broken, question):
    engine = index.as_query_engine(llm=broken, response_mode=mode, streaming=True)

    with pytest.raises(RuntimeError, match="cannot do that"):
        await (await engine.aquery(question)).get_response()


def test_an_empty_question_is_an_error_not_an_empty_response(index, llm):
    with pytest.raises(RuntimeError, match="prompt is empty"):
        index.as_query_engine(llm=llm).query(" ")
