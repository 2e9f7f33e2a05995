"""Evaluation: what each way of using passages gets right, on worlds that training never saw."""

from diekae_rag.evaluation.arms import ARMS, Arm, load_arms
from diekae_rag.evaluation.metrics import Share, is_exact_match, normalise
from diekae_rag.evaluation.report import evaluate

__all__ = ["ARMS", "Arm", "Share", "evaluate", "is_exact_match", "load_arms", "normalise"]
