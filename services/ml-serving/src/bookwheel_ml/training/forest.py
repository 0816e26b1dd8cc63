"""Fits the random forest and calibrates its intervals on out-of-bag rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor

from bookwheel_ml.model.features import FloatMatrix
from bookwheel_ml.model.intervals import Calibration, calibrate

TREES = 200
_MIN_LEAF = 8
_MAX_FEATURES = 0.4
_MAX_LEAVES = 1_000  # bounds the time of a prediction for a catalog of any size


@dataclass(frozen=True, slots=True)
class FittedForest:
    forest: RandomForestRegressor
    min_leaf: int
    calibration: Calibration


def fit_forest(matrix: FloatMatrix, ratings: npt.NDArray[np.float64], *, trees: int = TREES) -> FittedForest:
    """Fits a forest. The same rows in the same order give the same forest."""
    min_leaf = max(_MIN_LEAF, len(ratings) // _MAX_LEAVES)
    forest = RandomForestRegressor(trees, min_samples_leaf=min_leaf, max_features=_MAX_FEATURES, random_state=1588)
    forest.fit(matrix, ratings)
    scores, has_score = _out_of_bag_scores(forest, matrix)
    return FittedForest(forest, min_leaf, calibrate(scores[has_score], ratings[has_score]))


def leaf_moments(forest: RandomForestRegressor) -> list[npt.NDArray[np.float64]]:
    """Returns for each tree an array of shape (nodes, 2): the mean and mean square of the node's training ratings."""
    moments = []
    for tree in forest.estimators_:
        nodes: Any = tree.tree_  # the stubs lack `impurity`: the variance of the ratings in a node
        mean = nodes.value[:, 0, 0]
        moments.append(np.stack([mean, nodes.impurity + mean**2], axis=1))
    return moments


def forest_scores(forest: RandomForestRegressor, matrix: FloatMatrix) -> npt.NDArray[np.float64]:
    """Returns the scores that the export must match, shape (rows, 2): the mean rating and the mean square."""
    leaves = forest.apply(matrix)
    squares = [values[leaves[:, number], 1] for number, values in enumerate(leaf_moments(forest))]
    return np.stack([forest.predict(matrix), np.mean(squares, axis=0)], axis=1)


def _out_of_bag_scores(
    forest: RandomForestRegressor, matrix: FloatMatrix
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Scores each training row with the trees whose sample lacks it. Returns the scores and which rows have one."""
    sums = np.zeros((len(matrix), 2))
    tree_counts = np.zeros((len(matrix), 1))
    leaves = forest.apply(matrix)
    samples: Any = forest.estimators_samples_  # type: ignore[attr-defined]  # newer than the stubs
    for number, (moments, seen) in enumerate(zip(leaf_moments(forest), samples, strict=True)):
        unseen = np.ones(len(matrix), dtype=bool)
        unseen[seen] = False
        sums[unseen] += moments[leaves[unseen, number]]
        tree_counts[unseen] += 1
    return sums / np.maximum(tree_counts, 1), tree_counts[:, 0] > 0
