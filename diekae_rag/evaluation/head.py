"""A linear head over frozen features.        Axes: n records, D width of the features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]
from torch import Tensor

__all__ = ["Head", "train_head"]

Head = Callable[[Tensor], list[str]]
"""From features ``[n, D]`` to ``n`` labels."""


def train_head(features: Tensor, labels: Sequence[str], *, penalty: float = 1.0) -> Head:
    """Trains a multinomial logistic regression, to its optimum, on standardised features.

    The mean and the spread are those of the training features, for whatever the head is used on.

    Args:
        features: ``[n, D]``.
        labels: The right one of each.
        penalty: Of the squared weights, against the summed loss of all records.

    Raises:
        ValueError: There are not as many labels as features, or all are the same.

    Example:
        >>> import torch
        >>> head = train_head(torch.tensor([[0.0], [1.0]]), ["low", "high"])
        >>> head(torch.tensor([[-3.0], [5.0]]))
        ['low', 'high']
    """
    if len(features) != len(labels):
        raise ValueError(f"{len(features)} rows of features came with {len(labels)} labels.")
    if len(set(labels)) < 2:
        raise ValueError(
            f"all {len(labels)} training records have the label {labels[0]!r}; a head needs "
            "records with two labels or more."
            if labels
            else "there are no records to train a head on."
        )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, max_iter=5000))
    model.fit(features.double().numpy(), list(labels))

    def predict(features: Tensor) -> list[str]:
        return [str(label) for label in model.predict(features.double().numpy())]

    return predict
