"""Fits the forest, and learns from the rows that each tree has not seen how wide an interval must be."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor

from bookwheel_ml.features import FloatMatrix
from bookwheel_ml.intervals import Calibration, calibrate

TREES = 200
_LEAST_LEAF = 8
_MOST_FEATURES = 0.4
_MOST_LEAVES = 1_000  # a tree's size stays bounded, and with it a prediction's time, however large the catalog


@dataclass(frozen=True, slots=True)
class FittedForest:
    forest: RandomForestRegressor
    least_leaf: int
    calibration: Calibration


def fit_forest(matrix: FloatMatrix, ratings: npt.NDArray[np.float64], *, trees: int = TREES) -> FittedForest:
    """Deterministic: the same rows in the same order give the same forest."""
    least_leaf = max(_LEAST_LEAF, len(ratings) // _MOST_LEAVES)
    forest = RandomForestRegressor(trees, min_samples_leaf=least_leaf, max_features=_MOST_FEATURES, random_state=1588)
    forest.fit(matrix, ratings)
    scores, judged = _unseen_scores(forest, matrix)
    return FittedForest(forest, least_leaf, calibrate(scores[judged], ratings[judged]))


def leaf_moments(forest: RandomForestRegressor) -> list[npt.NDArray[np.float64]]:
    """Per tree, shape (nodes, 2): the mean and the mean square of the training ratings in each node."""
    moments = []
    for tree in forest.estimators_:
        nodes: Any = tree.tree_  # the stubs lack `impurity`: the variance of the ratings in a node
        mean = nodes.value[:, 0, 0]
        moments.append(np.stack([mean, nodes.impurity + mean**2], axis=1))
    return moments


def forest_scores(forest: RandomForestRegressor, matrix: FloatMatrix) -> npt.NDArray[np.float64]:
    """What the exported model must answer, by scikit-learn: shape (rows, 2), the rating and the mean square."""
    leaves = forest.apply(matrix)
    squares = [values[leaves[:, number], 1] for number, values in enumerate(leaf_moments(forest))]
    return np.stack([forest.predict(matrix), np.mean(squares, axis=0)], axis=1)


def _unseen_scores(
    forest: RandomForestRegressor, matrix: FloatMatrix
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Scores of the training rows, each by those trees only whose sample did not hold it; and which rows have any."""
    sums = np.zeros((len(matrix), 2))
    judges = np.zeros((len(matrix), 1))
    leaves = forest.apply(matrix)
    samples: Any = forest.estimators_samples_  # type: ignore[attr-defined]  # newer than the stubs
    for number, (moments, seen) in enumerate(zip(leaf_moments(forest), samples, strict=True)):
        unseen = np.ones(len(matrix), dtype=bool)
        unseen[seen] = False
        sums[unseen] += moments[leaves[unseen, number]]
        judges[unseen] += 1
    return sums / np.maximum(judges, 1), judges[:, 0] > 0
