"""Functions that the Python models share: parameters, answers, refusals."""

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class RequestError(Exception):
    """A mistake of the client, which gets the message with the status INVALID_ARGUMENT (HTTP 400)."""


def parameters_of(args: dict[str, str]) -> dict[str, str]:
    """The ``parameters`` of a model's ``config.pbtxt``."""
    parameters = json.loads(args["model_config"])["parameters"]
    return {name: value["string_value"] for name, value in parameters.items()}


def output(name: str, values: np.ndarray) -> Any:
    """An output tensor."""
    return pb_utils.Tensor(name, values)


def answer(*outputs: Any) -> Any:
    """A response with these outputs."""
    return pb_utils.InferenceResponse(output_tensors=list(outputs))


def refusal(error: RequestError) -> Any:
    """The response to a request with a mistake."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))


def failure(error: Exception) -> Any:
    """The response to a request that failed for another reason."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(" ".join(str(error).split())))
