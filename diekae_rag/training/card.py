"""The model card of trained encoders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diekae_rag.config import DiekaeConfig
from diekae_rag.files import write_text
from diekae_rag.training.plan import TrainingPlan

__all__ = ["write_card"]

_CARD = """---
library_name: diekae-rag
base_model: {base}
tags:
- retrieval-augmented-generation
- diekae
---

# Encoders for {base}

They read retrieved passages and the prompt, and what they output is added to layers
{layers} of a frozen {base}; the passages never enter its prompt.

```python
from diekae_rag import DiekaeModel

model = DiekaeModel.from_pretrained("{encoders}")
model.generate("question", ["passage", "passage"])
```

## Training

{stages}

| file | records | SHA-256 |
|---|---|---|
{files}

Effective batch: {batch} rows on each process. Seed {seed}. Written by `diekae train`; plan, data,
environment and losses lie beside this card. No measure of quality is implied: measure with
`diekae eval --model {encoders} --data FILE`.

Config: `{config}`
"""


def write_card(
    folder: Path,
    plan: TrainingPlan,
    config: DiekaeConfig,
    data: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Writes ``README.md`` into a run's folder."""
    files = [file for part in data.values() for file in part]
    text = _CARD.format(
        base=plan.base,
        layers=", ".join(map(str, config.layers)),
        encoders=folder / "encoders",
        stages=_stages(folder, plan),
        files="\n".join(
            f"| {f['file']} | {f['records']:,} | `{f['sha256'][:16]}` |" for f in files
        ),
        batch=plan.batch_size * plan.gradient_accumulation_steps,
        seed=plan.seed,
        config=json.dumps(config.to_diff_dict()),
    )
    write_text(folder / "README.md", text)


def _stages(folder: Path, plan: TrainingPlan) -> str:
    rows = ["| stage | seconds | peak memory | trained weights |", "|---|---|---|---|"]
    for stage in plan.stages:
        place = folder / stage.name / "cost.json"
        if place.exists():
            cost = json.loads(place.read_text(encoding="utf-8"))
            memory = f"{cost['peak_memory_bytes'] / 2**30:.2f} GiB"
            weights = f"{cost['trainable_weights']:,}"
            rows.append(f"| {stage.name} | {cost['seconds']:.0f} | {memory} | {weights} |")
    return "\n".join(rows)
