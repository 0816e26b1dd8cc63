"""The fitted forest as an ONNX graph, proven equal to scikit-learn before anyone may serve it."""

import numpy as np
import onnx
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestRegressor

from bookwheel_ml.features import FloatMatrix
from bookwheel_ml.onnx_session import INPUT, open_session
from bookwheel_ml.train import forest_scores, leaf_moments

TOLERANCE = 1e-5
"""Largest allowed difference of a rating, in stars; for the mean square, of its largest value 25."""


class OnnxMismatchError(Exception):
    """The exported model does not answer as scikit-learn does."""


def export_forest(forest: RandomForestRegressor) -> onnx.ModelProto:
    """ONNX with one input (rows, features) and one output (rows, 2): the rating, and the mean square of ratings.

    skl2onnx writes the trees with one target, the rating. Each leaf here gets a second one, from which the spread of a
    prediction follows without a second walk through the trees. ONNX Runtime adds up in float32, so the leaves hold
    differences from a base value: at 200 trees that lowers the error from 4e-6 to 1e-6.
    """
    model: onnx.ModelProto = to_onnx(forest, np.zeros((1, forest.n_features_in_), np.float32))
    node = model.graph.node[0]
    if len(model.graph.node) != 1 or node.op_type != "TreeEnsembleRegressor":
        raise OnnxMismatchError(f"skl2onnx wrote {[node.op_type for node in model.graph.node]}, not one tree ensemble")
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
    kept = [attribute for name, attribute in attributes.items() if name not in targets]
    del node.attribute[:]
    node.attribute.extend([*kept, *(onnx.helper.make_attribute(name, value) for name, value in targets.items())])
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    model.graph.input[0].name = node.input[0] = INPUT
    onnx.checker.check_model(model)
    return model


def check_export(model: onnx.ModelProto, forest: RandomForestRegressor, matrix: FloatMatrix) -> float:
    """The largest difference of a rating over `matrix`, in stars. Raises ExportNotEqual above the tolerance."""
    found = open_session(model.SerializeToString())(matrix)
    gaps = np.max(np.abs(found - forest_scores(forest, matrix)), axis=0, initial=0) / (1, 25)
    if not np.all(gaps <= TOLERANCE):  # not `any(gaps > …)`: a NaN must not pass
        raise OnnxMismatchError(
            f"ONNX and scikit-learn differ by {gaps[0]:g} stars, and {gaps[1]:g} of the mean square"
        )
    return float(gaps[0])
