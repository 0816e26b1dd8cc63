"""Exports a fitted forest to ONNX and checks that it predicts as scikit-learn does."""

import numpy as np
import onnx
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestRegressor

from bookwheel_ml.model.features import FloatMatrix
from bookwheel_ml.model.onnx_scorer import INPUT_NAME, load_scorer
from bookwheel_ml.training.forest import compute_leaf_moments, compute_scores

TOLERANCE = 1e-5
"""Largest allowed difference of a rating, in stars. For the mean square: relative to its maximum, 25."""


class OnnxMismatchError(Exception):
    """The exported model's predictions differ from scikit-learn's."""


def export_forest(forest: RandomForestRegressor) -> onnx.ModelProto:
    """Returns a graph that maps (rows, features) to (rows, 2): the mean rating and the mean square of the ratings.

    skl2onnx writes one target, the rating. This function adds the mean square as a second target, so one pass through
    the trees gives the rating and its spread. ONNX Runtime sums the trees' leaf values in float32, so the leaves hold
    differences from a base value. With 200 trees, this lowers the error from 4e-6 to 1e-6.
    """
    model: onnx.ModelProto = to_onnx(forest, np.zeros((1, forest.n_features_in_), np.float32))
    node = model.graph.node[0]
    if len(model.graph.node) != 1 or node.op_type != "TreeEnsembleRegressor":
        operators = [node.op_type for node in model.graph.node]
        raise OnnxMismatchError(f"ONNX export is invalid: expected one tree ensemble, but skl2onnx wrote {operators}")
    attributes = {attribute.name: attribute for attribute in node.attribute}
    tree_ids, leaf_ids = list(attributes["target_treeids"].ints), list(attributes["target_nodeids"].ints)
    moments = compute_leaf_moments(forest)
    values = np.array([moments[tree_id][leaf_id] for tree_id, leaf_id in zip(tree_ids, leaf_ids, strict=True)])
    base_value = values.mean(axis=0)
    target_attributes = {
        "n_targets": 2,
        "target_ids": [0] * len(tree_ids) + [1] * len(tree_ids),
        "target_treeids": tree_ids * 2,
        "target_nodeids": leaf_ids * 2,
        "target_weights": ((values - base_value) / len(moments)).T.ravel().tolist(),
        "base_values": base_value.tolist(),
    }
    other_attributes = [attribute for name, attribute in attributes.items() if name not in target_attributes]
    del node.attribute[:]
    node.attribute.extend(
        [*other_attributes, *(onnx.helper.make_attribute(name, value) for name, value in target_attributes.items())]
    )
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    model.graph.input[0].name = node.input[0] = INPUT_NAME
    onnx.checker.check_model(model)
    return model


def check_export(model: onnx.ModelProto, forest: RandomForestRegressor, matrix: FloatMatrix) -> float:
    """Returns the largest difference of a rating, in stars. Raises OnnxMismatchError if it exceeds the tolerance."""
    scores = load_scorer(model.SerializeToString())(matrix)
    differences = np.max(np.abs(scores - compute_scores(forest, matrix)), axis=0, initial=0) / (1, 25)
    if not np.all(differences <= TOLERANCE):  # not `any(differences > …)`: a NaN must not pass
        raise OnnxMismatchError(
            f"ONNX export is invalid: it differs from scikit-learn by {differences[0]:g} stars,"
            f" and in the mean square by {differences[1]:g} of its maximum"
        )
    return float(differences[0])
