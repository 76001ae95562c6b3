"""Dynamic time warping: the cheapest way through a matrix of costs, from its first cell to its last."""

import numpy as np
from numpy.typing import NDArray

from app.engines.batched.compiled import compiled

Costs = np.ndarray[tuple[int, int], np.dtype[np.float64]]

_DIAGONAL, _DOWN, _RIGHT = 0, 1, 2


@compiled()
def cheapest_path(costs: Costs) -> NDArray[np.int64]:
    """The cells `[2, n]` (rows, columns) of the path through costs `[rows, columns]` whose sum is least.

    Each step goes to the next row, to the next column, or to both. Ties are resolved as in openai-whisper's
    `dtw_cpu`: a step to both only if it is cheaper than either of the others, one to the next row only if it
    is cheaper than either of the others, else one to the next column.
    """
    rows, columns = costs.shape
    steps = np.empty((rows, columns), np.int8)
    before = np.full(rows + 1, np.inf)  # the sums of the column before, one row further down
    before[0] = 0.0
    sums = np.empty(rows + 1)
    for column in range(columns):
        sums[0] = np.inf
        for row in range(rows):
            diagonal, down, right = before[row], sums[row], before[row + 1]
            if diagonal < down and diagonal < right:
                sums[row + 1], steps[row, column] = costs[row, column] + diagonal, _DIAGONAL
            elif down < diagonal and down < right:
                sums[row + 1], steps[row, column] = costs[row, column] + down, _DOWN
            else:
                sums[row + 1], steps[row, column] = costs[row, column] + right, _RIGHT
        before, sums = sums, before
    return _followed_back(steps)


@compiled()
def _followed_back(steps: NDArray[np.int8]) -> NDArray[np.int64]:
    """The path that `steps` into each cell give, from the last cell on."""
    row, column = steps.shape[0] - 1, steps.shape[1] - 1
    first = row + column + 2  # costs that are NaN lead along the edge
    path = np.empty((2, first), np.int64)
    while row >= 0 or column >= 0:
        first -= 1
        path[0, first], path[1, first] = row, column
        step = _RIGHT if row < 0 else _DOWN if column < 0 else steps[row, column]
        if step != _RIGHT:
            row -= 1
        if step != _DOWN:
            column -= 1
    return path[:, first:]
