"""Exports a fitted forest to ONNX and checks that it predicts as scikit-learn does."""

import numpy as np
import onnx
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestRegressor

from bookwheel_ml.model.features import FloatMatrix
from bookwheel_ml.model.onnx_scorer import INPUT, load_scorer
from bookwheel_ml.training.forest import forest_scores, leaf_moments

TOLERANCE = 1e-5
"""Largest allowed difference of a rating, in stars. For the mean square: relative to its maximum, 25."""


class OnnxMismatchError(Exception):
    """The exported model's predictions differ from scikit-learn's."""


def export_forest(forest: RandomForestRegressor) -> onnx.ModelProto:
    """Returns a graph that maps (rows, features) to (rows, 2): the mean rating and the mean square of the ratings.

    skl2onnx writes one target, the rating. This function adds the mean square as a second target, so one pass through
    the trees gives the rating and its spread. ONNX Runtime adds in float32, so the leaves hold differences from a base
    value: with 200 trees that lowers the error from 4e-6 to 1e-6.
    """
    model: onnx.ModelProto = to_onnx(forest, np.zeros((1, forest.n_features_in_), np.float32))
    node = model.graph.node[0]
    if len(model.graph.node) != 1 or node.op_type != "TreeEnsembleRegressor":
        operators = [node.op_type for node in model.graph.node]
        raise OnnxMismatchError(f"ONNX export is invalid: expected one tree ensemble, but skl2onnx wrote {operators}")
    attributes = {attribute.name: attribute for attribute in node.attribute}
    trees, leaves = list(attributes["target_treeids"].ints), list(attributes["target_nodeids"].ints)
    moments = leaf_moments(forest)
    values = np.array([moments[tree][leaf] for tree, leaf in zip(trees, leaves, strict=True)])
    base = values.mean(axis=0)
    targets = {
        "n_targets": 2,
        "target_ids": [0] * len(trees) + [1] * len(trees),
        "target_treeids": trees * 2,
        "target_nodeids": leaves * 2,
        "target_weights": ((values - base) / len(moments)).T.ravel().tolist(),
        "base_values": base.tolist(),
    }
    unchanged = [attribute for name, attribute in attributes.items() if name not in targets]
    del node.attribute[:]
    node.attribute.extend([*unchanged, *(onnx.helper.make_attribute(name, value) for name, value in targets.items())])
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    model.graph.input[0].name = node.input[0] = INPUT
    onnx.checker.check_model(model)
    return model


def check_export(model: onnx.ModelProto, forest: RandomForestRegressor, matrix: FloatMatrix) -> float:
    """Returns the largest difference of a rating, in stars. Raises OnnxMismatchError above the tolerance."""
    scores = load_scorer(model.SerializeToString())(matrix)
    gaps = np.max(np.abs(scores - forest_scores(forest, matrix)), axis=0, initial=0) / (1, 25)
    if not np.all(gaps <= TOLERANCE):  # not `any(gaps > …)`: a NaN must not pass
        raise OnnxMismatchError(
            f"ONNX export is invalid: it differs from scikit-learn by {gaps[0]:g} stars"
            f" and {gaps[1]:g} of the mean square"
        )
    return float(gaps[0])
