"""Episodes as tensors for the reader.        Axes: B episodes, T positions.

One row holds an episode's passages and then all its questions. Each question sees the passages and
itself, and its positions start where the passages end: what it reads is just what it would read
alone, at a fraction of the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diekae_rag.demo.episodes import Episode
from diekae_rag.prompting import Wording

__all__ = ["PackedBatch", "pack_episodes"]

PASSAGE, QUESTION, ANSWER = 1, 2, 3


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """One training step's rows.

    Args:
        input_ids: ``[B, T]``.
        position_ids: ``[B, T]``.
        attention_mask: ``[B, 1, T, T]`` bool, true where a position may look.
        roles: ``[B, T]``; what each token is: 0 padding, 1 passage, 2 question, 3 answer.
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    roles: Tensor

    @property
    def length(self) -> int:
        """T: the longest row."""
        return self.input_ids.shape[1]


def pack_episodes(
    episodes: Sequence[Episode],
    tokenizer: PreTrainedTokenizerBase,
    wording: Wording,
    *,
    length: int | None = None,
) -> PackedBatch:
    """Tokenizes episodes and lays each out in one row.

    Args:
        episodes: What to lay out.
        tokenizer: The reader's.
        wording: The templates.
        length: How long the rows are made; the longest decides when not given. Rows of one length
            throughout spare the compiler its work.
    """
    rows = []
    for episode in episodes:
        knowledge = [tokenizer.bos_token_id]
        for passage in wording.tokenize_passages(tokenizer, episode.passages):
            knowledge += passage
        tokens, positions = list(knowledge), list(range(len(knowledge)))
        roles, segments = [PASSAGE] * len(knowledge), [0] * len(knowledge)
        prompts = wording.tokenize_prompts(tokenizer, [q for q, _ in episode.questions])
        answers = wording.tokenize_answers(tokenizer, [a for _, a in episode.questions])
        for segment, (prompt, answer) in enumerate(zip(prompts, answers, strict=True), start=1):
            tokens += prompt + answer
            positions += range(len(knowledge), len(knowledge) + len(prompt) + len(answer))
            roles += [QUESTION] * len(prompt) + [ANSWER] * len(answer)
            segments += [segment] * (len(prompt) + len(answer))
        rows.append((tokens, positions, roles, segments))
    longest = length or max(len(row[0]) for row in rows)
    padded = torch.tensor([[c + [0] * (longest - len(c)) for c in row] for row in rows])
    input_ids, position_ids, roles_, segments_ = padded.unbind(1)
    same = segments_[:, :, None] == segments_[:, None, :]
    visible = (same | (segments_ == 0)[:, None, :]) & (roles_ != 0)[:, None, :]
    visible &= torch.ones(longest, longest, dtype=torch.bool).tril()
    visible |= torch.eye(longest, dtype=torch.bool)  # padding looks at itself: no empty softmax
    return PackedBatch(input_ids, position_ids, visible[:, None], roles_)
