"""What comes with an answer: sources, usage, tokens for callbacks; and what stays out of traces."""

import json
import pickle

import pytest
from langchain_core.load import dumpd

from diekae_rag import PromptTooLongError

from .conftest import DOCUMENTS, QUESTION, Recorder


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
