"""Evaluation: what each way of using passages gets right, on unseen worlds and on own records."""

from diekae_rag.evaluation.arms import ARMS, Arm, load_arms
from diekae_rag.evaluation.attribution import evaluate_attribution
from diekae_rag.evaluation.metrics import Share, is_exact_match, normalise
from diekae_rag.evaluation.reasoning import evaluate_reasoning
from diekae_rag.evaluation.records import evaluate_records
from diekae_rag.evaluation.report import evaluate

__all__ = [
    "ARMS",
    "Arm",
    "Share",
    "evaluate",
    "evaluate_attribution",
    "evaluate_reasoning",
    "evaluate_records",
    "is_exact_match",
    "load_arms",
    "normalise",
]
