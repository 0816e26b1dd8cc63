"""Runs an exported forest."""

import numpy as np
import numpy.typing as npt
import onnxruntime

from bookwheel_ml.features import FloatMatrix

INPUT = "features"


class OnnxScorer:
    """One thread: a row takes microseconds, and handing it to a pool would cost more than it saves."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, matrix: FloatMatrix) -> npt.NDArray[np.float32]:
        scores: npt.NDArray[np.float32] = self._session.run(None, {INPUT: matrix})[0]
        return scores


def open_session(model: bytes) -> OnnxScorer:
    """Raises ValueError where `model` is not an ONNX graph that runs here."""
    try:
        return OnnxScorer(model)
    except Exception as error:
        raise ValueError(f"not a model that ONNX Runtime accepts: {error}") from error
