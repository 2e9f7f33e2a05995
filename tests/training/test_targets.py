"""Targets on disk: training from them is training with the base model, without having it."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple

import pytest
import torch
from accelerate import Accelerator

from diekae_rag.data.records import Record
from diekae_rag.demo.reader import DEMO_WORDING
from diekae_rag.errors import TrainingError
from diekae_rag.training import dumping
from diekae_rag.training.base import BaseParts, has_layers
from diekae_rag.training.distillation import Differences, Outputs
from diekae_rag.training.dumping import dump_targets, dumped_size, ensure_targets
from diekae_rag.training.ends import load_ends, save_ends
from diekae_rag.training.examples import Examples
from diekae_rag.training.finetuning import Finetuning
from diekae_rag.training.stages import build_objective
from diekae_rag.training.targets import SHARD, TargetStore
from diekae_rag.training.warmup import Warmup

KINDS = {"distill": Outputs, "differences": Differences}


def records(count: int = 5) -> list[Record]:
    return [
        Record(
            f"Who is {n}?",
            "Ada" if n % 2 else "Brenk of Oltun",
            (f"Number {n} is she.",) * min(n, 5),
        )
        for n in range(1, count + 1)
    ]


@pytest.fixture
def examples(tokenizer, make_encoders):
    """Records as batches of two rows."""

    def build(given=None, **options):
        config = make_encoders().config
        return Examples(
            given or records(), tokenizer, config, window=512, batch_size=2, needs_stuffed=True,
            **options,
        )  # fmt: skip

    return build


def dump(examples, name, encoders, base, folder):
    return ensure_targets(
        examples, name, encoders, lambda: base, folder, Accelerator(cpu=True), show_progress=False
    )


@pytest.mark.parametrize("name", KINDS)
def test_targets_on_disk_are_those_the_base_model_gives(
    examples, make_encoders, reader, tmp_path, name
):
    store = dump(examples(), name, encoders := make_encoders(), reader, tmp_path)
    batches = examples(targets=store)
    objective = KINDS[name](BaseParts(reader), encoders)

    for number in range(4):
        batch = batches(number)
        for key, want in objective.targets(batch).items():
            got = batch.targets[key].float()
            torch.testing.assert_close(got, want.float(), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("name", KINDS)
def test_encoders_train_alike_from_the_disk_with_nothing_of_the_layers_in_memory(
    examples, make_encoders, reader, tmp_path, name
):
    store = dump(examples(), name, encoders := make_encoders(), reader, tmp_path)
    ends = load_ends(tmp_path / "ends")
    with_base = KINDS[name](BaseParts(reader), encoders)
    without = KINDS[name](BaseParts(ends), encoders)

    want, _ = with_base(examples()(1))
    batches = examples(targets=store)
    batches.needs_stuffed = False
    got, _ = without(batches(1))
    got.backward()

    assert not has_layers(ends)
    torch.testing.assert_close(got, want, rtol=2e-2, atol=1e-3)
    assert encoders.up["2"].weight.grad.abs().sum() > 0


def test_warm_up_needs_only_the_ends(examples, make_encoders, reader, tmp_path):
    save_ends(reader, tmp_path)
    encoders, batch = make_encoders(), examples()(0)

    want, _ = Warmup(BaseParts(reader), encoders)(batch)
    got, _ = Warmup(BaseParts(load_ends(tmp_path)), encoders)(batch)

    torch.testing.assert_close(got, want)


def test_running_layers_that_are_not_there_is_an_error(examples, make_encoders, reader, tmp_path):
    save_ends(reader, tmp_path)
    objective = Outputs(BaseParts(load_ends(tmp_path)), make_encoders())

    with pytest.raises(ValueError, match="pass the base model"):
        objective(examples()(0))


def test_the_base_model_is_asked_for_once(examples, make_encoders, reader, tmp_path):
    dump(examples(), "distill", make_encoders(), reader, tmp_path)

    def never():
        raise AssertionError

    store = ensure_targets(
        examples(), "distill", make_encoders(), never, tmp_path, Accelerator(cpu=True)
    )

    assert store.names == ["stuffed", "bare"]


def test_the_size_foretold_is_the_size_of_the_tensors(examples, make_encoders, reader, tmp_path):
    made = examples()
    objective = Differences(BaseParts(reader), make_encoders())

    dump_targets(made, objective, tmp_path, show_progress=False)

    written = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    headers = 200 * len(made.episodes)
    assert dumped_size(made, objective) <= written <= dumped_size(made, objective) + headers


def test_a_dump_that_was_stopped_goes_on(examples, make_encoders, reader, tmp_path, monkeypatch):
    made = examples(records(2 * SHARD + 3))
    objective = Differences(BaseParts(reader), make_encoders())
    write, written = dumping._write, []

    def stop_after_one(shard, folder, number):
        if written:
            raise KeyboardInterrupt
        written.append(number)
        write(shard, folder, number)

    monkeypatch.setattr(dumping, "_write", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        dump_targets(made, objective, tmp_path, show_progress=False)
    with pytest.raises(FileNotFoundError, match="no complete dump"):
        TargetStore(tmp_path)
    monkeypatch.setattr(dumping, "_write", lambda s, f, n: (written.append(n), write(s, f, n)))
    dump_targets(made, objective, tmp_path, show_progress=False)

    assert written == [0, 1, 2]


def test_processes_share_the_files(examples, make_encoders, reader, tmp_path):
    made = examples(records(2 * SHARD + 3))
    objective = Outputs(BaseParts(reader), make_encoders())

    dump_targets(made, objective, tmp_path / "a", process=(0, 2), show_progress=False)
    dump_targets(made, objective, tmp_path / "b", process=(1, 2), show_progress=False)

    names = [sorted(p.name[8:14] for p in (tmp_path / f).iterdir()) for f in "ab"]
    assert names == [["000000", "000002"], ["000001"]]


def test_a_full_disk_is_an_error_before_anything_is_read(
    examples, make_encoders, reader, tmp_path, monkeypatch
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 10))

    with pytest.raises(TrainingError, match="another disk"):
        dump(examples(), "distill", make_encoders(), reader, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_what_is_written(
    examples, make_encoders, reader, tmp_path, monkeypatch
):
    made = examples(records(SHARD + 1))
    save = dumping.save_file

    def full(tensors, path):
        if "000001" in path.name:
            raise OSError(28, "No space left on device")
        save(tensors, path)

    monkeypatch.setattr(dumping, "save_file", full)
    with pytest.raises(TrainingError, match="make room"):
        dump(made, "distill", make_encoders(), reader, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["targets-000000.safetensors"]


@pytest.mark.parametrize(
    "other",
    [
        lambda e, m: (e(records(4)), "distill", m()),
        lambda e, m: (e(), "differences", m()),
        lambda e, m: (e(), "distill", m(max_passage_tokens=9)),
        lambda e, m: (e(), "distill", m(wording={**DEMO_WORDING.to_dict(), "answer": "{answer}"})),
    ],
    ids=["records", "stage", "limits", "wording"],
)
def test_targets_of_something_else_are_refused(examples, make_encoders, reader, tmp_path, other):
    dump(examples(), "distill", make_encoders(), reader, tmp_path)

    made, name, encoders = other(examples, make_encoders)
    with pytest.raises(ValueError, match="name another folder"):
        dump(made, name, encoders, reader, tmp_path)


def test_damaged_targets_are_an_error(examples, make_encoders, reader, tmp_path):
    store = dump(examples(), "distill", make_encoders(), reader, tmp_path)
    path = next(tmp_path.glob("targets-*"))
    path.write_bytes(path.read_bytes()[:40])

    with pytest.raises(TrainingError, match="damaged"):
        store.gather([0])


def test_what_changes_with_the_encoders_cannot_be_kept(examples, make_encoders, reader, tmp_path):
    with (
        build_objective(
            "differences", BaseParts(reader), make_encoders(), options={"is_on_policy": True}
        ) as objective,
        pytest.raises(ValueError, match="on-policy"),
    ):
        dump_targets(examples(), objective, tmp_path)


def test_fine_tuning_without_hooks_is_an_error(examples, make_encoders, reader):
    with pytest.raises(ValueError, match="injection="):
        Finetuning(BaseParts(reader), make_encoders())(examples()(0))


def test_the_manifest_is_json_that_says_whose_targets_they_are(
    examples, make_encoders, reader, tmp_path
):
    dump(examples(), "differences", make_encoders(), reader, tmp_path)

    manifest = json.loads((tmp_path / "targets.json").read_text())
    assert manifest["objective"] == "differences"
    assert manifest["names"] == ["0", "2"]
