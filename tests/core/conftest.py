"""What the core's tests read with: a row's own ids, batches of rows, and the layouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from diekae_rag import DiekaeModel
from diekae_rag.passages import as_passages
from diekae_rag.requests import Request, prepare

# Every pair of choices meets once: two layouts of the paper's and of the demo's kind, two mixed.
LAYOUTS = {
    "paper": ("separate", "prompt", "joint", "causal", "mlp"),
    "mixed": ("shared", "prompt", "independent", "both", "layer"),
    "joint": ("separate", "all", "joint", "causal", "layer"),
    "demo": ("shared", "all", "independent", "both", "mlp"),
}


@pytest.fixture(params=list(LAYOUTS))
def layout(request: pytest.FixtureRequest) -> dict[str, str]:
    """Choices of a config, so that each value of each choice is met."""
    names = ("sharing", "positions", "passage_attention", "passage_direction", "site")
    return dict(zip(names, LAYOUTS[request.param], strict=True))


@pytest.fixture
def laid_out(make_model: Callable[..., DiekaeModel], layout: dict[str, str]) -> DiekaeModel:
    """A model of each layout."""
    return make_model(**layout)


@pytest.fixture(scope="session")
def questions() -> list[str]:
    """Prompts of unequal length; the first repeats itself, so that prompt lookup has guesses."""
    return [
        "the cat the cat the cat the cat sat on the mat the cat the cat the cat",
        "Who?",
        "Where was Ilma Bresk born, and when?",
    ]


@pytest.fixture(scope="session")
def sources() -> list[list[str]]:
    """Passages for ``questions``: two, none, one."""
    return [["The cat sat in Kolwick.", "A mat, 1931."], [], ["Ilma Bresk was born in Oltun."]]


@pytest.fixture(scope="session")
def requests_for() -> Callable[..., list[Request]]:
    """Words and tokenizes prompts with their passages."""

    def build(
        model: DiekaeModel, prompts: Sequence[str], passages: Sequence[Any], mode: Any = "inject"
    ) -> list[Request]:
        config = model.encoders.config
        return [
            prepare(p, as_passages(k), mode, model.tokenizer, config, model.window, 1)
            for p, k in zip(prompts, passages, strict=True)
        ]

    return build


@pytest.fixture(scope="session")
def padded() -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """Ids, mask and positions of rows, padded on either side with an id that means something."""

    def pad(rows: Sequence[list[int]], side: str = "left") -> tuple[Tensor, Tensor, Tensor]:
        longest = max(map(len, rows))

        def lay(row: list[int], filling: int) -> list[int]:
            fill = [filling] * (longest - len(row))
            return fill + row if side == "left" else row + fill

        ids = torch.tensor([lay(row, 7) for row in rows])
        mask = torch.tensor([lay([1] * len(row), 0) for row in rows])
        return ids, mask, (mask.cumsum(1) - 1).clamp(min=0)

    return pad


@pytest.fixture(scope="session")
def read_logits(
    requests_for: Callable[..., list[Request]], padded: Callable[..., tuple[Tensor, Tensor, Tensor]]
) -> Callable[..., list[Tensor]]:
    """Logits at each row's own tokens, all rows read in one pass."""

    @torch.no_grad()
    def read(
        model: DiekaeModel, prompts: Sequence[str], passages: Sequence[Any], side: str = "left"
    ) -> list[Tensor]:
        requests = requests_for(model, prompts, passages)
        ids, mask, positions = padded([r.input_ids for r in requests], side)
        with model.injecting(requests, mask, "inject"):
            logits = model.base(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        return [row[own.bool()] for row, own in zip(logits, mask, strict=True)]

    return read


@pytest.fixture(scope="session")
def new_ids(
    requests_for: Callable[..., list[Request]], padded: Callable[..., tuple[Tensor, Tensor, Tensor]]
) -> Callable[..., list[list[int]]]:
    """New token ids of every row, from the base model's own ``generate`` inside a call."""

    @torch.no_grad()
    def generate(
        model: DiekaeModel, prompts: Sequence[str], passages: Sequence[Any], **options: Any
    ) -> list[list[int]]:
        requests = requests_for(model, prompts, passages)
        ids, mask, _ = padded([r.input_ids for r in requests])
        settings = {"do_sample": False, "max_new_tokens": 9, "pad_token_id": 0, **options}
        with model.injecting(requests, mask, "inject"):
            output = model.base.generate(
                input_ids=ids, attention_mask=mask, disable_compile=True, **settings
            )
        return output[:, ids.shape[1] :].tolist()

    return generate


@pytest.fixture(scope="session")
def alone(new_ids: Callable[..., list[list[int]]]) -> Callable[..., list[list[int]]]:
    """The plainest way to the same rows: one at a time, everything read again at every token."""

    def one_by_one(
        model: DiekaeModel, prompts: Sequence[str], passages: Sequence[Any], **options: Any
    ) -> list[list[int]]:
        rows = zip(prompts, passages, strict=True)
        return [new_ids(model, [p], [k], use_cache=False, **options)[0] for p, k in rows]

    return one_by_one
