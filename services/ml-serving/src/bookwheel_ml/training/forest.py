"""Fits the random forest and calibrates its intervals on out-of-bag rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor

from bookwheel_ml.model.features import FloatMatrix
from bookwheel_ml.model.intervals import Calibration, calibrate

DEFAULT_TREE_COUNT = 200
_MIN_LEAF_SIZE = 8
_MAX_FEATURES = 0.4
_MAX_LEAVES = 1_000  # keeps the prediction time independent of the catalog size


@dataclass(frozen=True, slots=True)
class FittedForest:
    forest: RandomForestRegressor
    min_leaf_size: int
    calibration: Calibration


def fit_forest(
    matrix: FloatMatrix, ratings: npt.NDArray[np.float64], *, tree_count: int = DEFAULT_TREE_COUNT
) -> FittedForest:
    """Fits a forest and its calibration. Deterministic for the same rows in the same order."""
    min_leaf_size = max(_MIN_LEAF_SIZE, len(ratings) // _MAX_LEAVES)
    forest = RandomForestRegressor(
        tree_count, min_samples_leaf=min_leaf_size, max_features=_MAX_FEATURES, random_state=1588
    )
    forest.fit(matrix, ratings)
    scores, is_scored = _compute_out_of_bag_scores(forest, matrix)
    return FittedForest(forest, min_leaf_size, calibrate(scores[is_scored], ratings[is_scored]))


def compute_leaf_moments(forest: RandomForestRegressor) -> list[npt.NDArray[np.float64]]:
    """Returns for each tree an array of shape (nodes, 2): the mean and mean square of the node's training ratings."""
    moments = []
    for tree in forest.estimators_:
        nodes: Any = tree.tree_  # the stubs lack `impurity`: the variance of the ratings in a node
        mean = nodes.value[:, 0, 0]
        moments.append(np.stack([mean, nodes.impurity + mean**2], axis=1))
    return moments


def compute_scores(forest: RandomForestRegressor, matrix: FloatMatrix) -> npt.NDArray[np.float64]:
    """Returns the scores that the export must match, shape (rows, 2): the mean rating and the mean square."""
    leaves = forest.apply(matrix)
    squares = [values[leaves[:, tree_index], 1] for tree_index, values in enumerate(compute_leaf_moments(forest))]
    return np.stack([forest.predict(matrix), np.mean(squares, axis=0)], axis=1)


def _compute_out_of_bag_scores(
    forest: RandomForestRegressor, matrix: FloatMatrix
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Scores each training row with the trees that were not trained on it.

    Returns the scores, of shape (rows, 2), and a mask of the rows that have a score.
    """
    sums = np.zeros((len(matrix), 2))
    tree_counts = np.zeros((len(matrix), 1))
    leaves = forest.apply(matrix)
    samples: Any = forest.estimators_samples_  # type: ignore[attr-defined]  # newer than the stubs
    for tree_index, (moments, sampled_rows) in enumerate(zip(compute_leaf_moments(forest), samples, strict=True)):
        is_out_of_bag = np.ones(len(matrix), dtype=bool)
        is_out_of_bag[sampled_rows] = False
        sums[is_out_of_bag] += moments[leaves[is_out_of_bag, tree_index]]
        tree_counts[is_out_of_bag] += 1
    return sums / np.maximum(tree_counts, 1), tree_counts[:, 0] > 0
