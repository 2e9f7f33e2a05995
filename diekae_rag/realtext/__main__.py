"""``python -m diekae_rag.realtext DATA FOLDER``: what measuring on real text needs.

It writes ``FOLDER/base`` (a reader), ``train.jsonl`` and ``plan.toml`` (what encoders are trained
on, and how), ``valid/<set>.jsonl`` (records to measure on) and, where answers are labels,
``head/<set>.jsonl`` (records to train a head on).
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Annotated

import torch
import typer

from diekae_rag.data.records import Record
from diekae_rag.files import write_text
from diekae_rag.locations import demo_folder
from diekae_rag.realtext.mixture import write_mixture
from diekae_rag.realtext.reader import build_mixture, load_text_tokenizer, train_text_reader
from diekae_rag.realtext.sets import MEASURED, TextSet, read_sets
from diekae_rag.training.loop import default_accelerator

_MEASURED, _REASONED = 300, 600  # records of a set: measured on, and to train heads on

_PLAN = """base = "{folder}/base"
data = "{folder}/train.jsonl"
initial = "{initial}"
checkpoint_every = 50

[[stages]]
name = "warmup"
num_steps = 450
learning_rate = 1e-3
[[stages]]
name = "distill"
num_steps = 150
[[stages]]
name = "finetune"
num_steps = 150
[[stages]]
name = "lora"
num_steps = 150
[[stages]]
name = "full"
num_steps = 150
learning_rate = 1e-4
"""


def prepare(
    data: Annotated[Path, typer.Argument(help="The folder of the data sets.")],
    folder: Annotated[Path, typer.Argument(help="Where everything goes.")],
    steps: Annotated[int, typer.Option(min=1, help="Of the reader, 16 rows each.")] = 2000,
    batches: Annotated[int, typer.Option(min=1, help="Of 16 rows, for the encoders.")] = 1500,
) -> None:
    """Trains a small reader of real text, or goes on, and writes records for its encoders."""
    sets = read_sets(data)
    records = [record for one in sets.values() for record in one.train]
    tokenizer = load_text_tokenizer(records, folder)
    for name in MEASURED:
        _write(_sample(sets[name].valid, _MEASURED), folder / "valid" / f"{name}.jsonl")
    for name in ("folio", "proofwriter"):
        _write(_sample(sets[name].train, _REASONED), folder / "head" / f"{name}.jsonl")
    count = write_mixture(build_mixture(records, tokenizer), batches, folder / "train.jsonl")
    plan = _PLAN.format(folder=folder, initial=demo_folder() / "encoders")
    write_text(folder / "plan.toml", plan)
    typer.echo(f"{count:,} records in {folder / 'train.jsonl'}; {_sizes(sets)}")
    accelerator = default_accelerator(mixed_precision="bf16", cpu=not torch.cuda.is_available())
    train_text_reader(records, tokenizer, folder, accelerator, num_steps=steps)


def _sample(records: list[Record], count: int) -> list[Record]:
    return random.Random(0).sample(records, min(count, len(records)))


def _write(records: list[Record], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps(
            {
                "prompt": record.prompt,
                "answer": record.answer,
                "passages": list(record.passages),
                "answers": list(record.answers),
            },
            ensure_ascii=False,
        )
        for record in records
    ]
    write_text(path, "".join(f"{line}\n" for line in lines))


def _sizes(sets: dict[str, TextSet]) -> str:
    return ", ".join(
        f"{name} {len(one.train):,} + {len(one.valid):,} ({one.left_out} too long)"
        for name, one in sets.items()
    )


app = typer.Typer(pretty_exceptions_enable=False)
app.command()(prepare)

if __name__ == "__main__":
    app()
