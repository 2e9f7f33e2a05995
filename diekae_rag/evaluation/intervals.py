"""How sure a figure is: the bootstrap over records.

Axes: n records, C columns, R resamples.

Every figure here is a ratio or a difference of means over records. Drawing whole rows of one table
keeps what belongs to a record together: figures of several arms are compared on the same draw.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["percentile_interval", "resampled_means"]

Floats = NDArray[np.float64]


def resampled_means(table: Floats, *, seed: int, num_resamples: int = 1000) -> Floats:
    """Means of ``table``'s columns over records drawn with replacement.

    Args:
        table: ``[n, C]``, a row for each record.
        seed: Of the draws; the same one gives the same draws for any columns.
        num_resamples: R.

    Returns:
        ``[R, C]``.

    Raises:
        ValueError: There are no records, or no resamples are wanted.

    Example:
        >>> resampled_means(np.array([[1.0, 2.0], [1.0, 2.0]]), seed=0, num_resamples=3)[:, 1]
        array([2., 2., 2.])
    """
    if not len(table):
        raise ValueError("there are no records to draw from.")
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}.")
    rng, n = np.random.default_rng(seed), len(table)
    return np.stack([table[rng.integers(n, size=n)].mean(0) for _ in range(num_resamples)])


def percentile_interval(samples: Floats, share: float = 0.95) -> list[float] | None:
    """The middle of the resampled figures; ``None`` where it has no end.

    Args:
        samples: ``[R]``; NaN where a resample leaves the figure undefined.
        share: How much of them to hold.

    Returns:
        Two ends, or ``None`` where more resamples are undefined than may lie beyond one of them.

    Example:
        >>> [round(end, 3) for end in percentile_interval(np.linspace(0, 1, 101))]
        [0.025, 0.975]
        >>> percentile_interval(np.array([1.0, np.nan])) is None
        True
    """
    beyond = (1 - share) / 2
    if np.isnan(samples).mean() > beyond:
        return None
    low, high = np.nanpercentile(samples, [100 * beyond, 100 * (1 - beyond)])
    return [float(low), float(high)]
