import pytest

from diekae_rag.demo import train as training
from diekae_rag.demo.library import build_library
from diekae_rag.demo.show import choose_examples
from diekae_rag.demo.worlds import World
from diekae_rag.index import PassageIndex

WAYS = ["none", "stuff", "langchain", "llama_index"]


@pytest.fixture
def demo(run, model_folder, tmp_path):
    def demo(*more):
        small = ("--questions", 5, "--documents", 20, "--model", model_folder)
        return run("demo", "--folder", tmp_path / "run", *small, *more)

    return demo


def test_the_demo_has_both_hosts_answer_alike_and_can_be_run_again(demo, only_json, tmp_path):
    report = only_json(demo("--json"))
    ways, examples = report["ways"], [example["answers"] for example in report["examples"]]
    read = {name: way["prompt_tokens"] for name, way in ways.items()}
    kept_out = {name: way["knowledge_tokens_kept_out"] for name, way in ways.items()}
    assert list(ways) == WAYS
    assert {way["n"] for way in ways.values()} == {4}
    assert read["none"] == read["langchain"] == read["llama_index"] < read["stuff"]
    assert kept_out["langchain"] == kept_out["llama_index"] > 0
    assert [a["langchain"]["text"] for a in examples] == [
        a["llama_index"]["text"] for a in examples
    ]
    assert len(PassageIndex.load(tmp_path / "run" / "index")) == 20

    result = demo()
    assert result.exit_code == 0
    assert "LangChain" in result.stdout
    assert "The same frozen reader got" in result.stdout


def test_the_demo_leaves_the_folders_of_others_alone(demo, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    result = demo()
    assert result.exit_code == 1
    assert "name another folder" in result.stderr
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_every_document_becomes_one_passage(tmp_path):
    world = World(seed=2, num_documents=200)
    index = build_library(world, tmp_path / "run", show_progress=False)
    assert sorted(passage.text for passage in index) == sorted(d.text for d in world.documents)


def test_the_examples_are_about_different_things():
    chosen = choose_examples(World(seed=1, num_documents=200).questions(100))
    answerable = [question for question in chosen if question.is_answerable]
    assert len(chosen) == 10
    assert len({question.relation for question in answerable}) == len(answerable) == 8


def test_training_is_passed_on(run, only_json, monkeypatch, tmp_path):
    calls = []

    def train_demo(folder, *, seed, show_progress):
        calls.append((folder, seed))
        return {"reader": 60.0}

    monkeypatch.setattr(training, "train_demo", train_demo)
    report = only_json(run("demo", "train", tmp_path / "run", "--seed", 5, "--json"))
    assert calls == [(tmp_path / "run", 5)]
    assert report["seconds"] == {"reader": 60.0}
