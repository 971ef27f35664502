"""What belongs to a run beside numbers: its weights, a loadable model, its data set, its figure."""

from collections.abc import Mapping
from pathlib import Path

import mlflow.data
import mlflow.pytorch
import numpy as np
import torch
from mlflow.artifacts import download_artifacts
from mlflow.data.sources import LocalArtifactDatasetSource
from mlflow.entities import Dataset, DatasetInput, InputTag
from torch import nn

from bnstudy.files import read_data, read_tensors, write_tensors
from bnstudy.networks import INPUTS, OUTPUTS, BatchNorm, Linear, Network


def weights_of(checkpoint: str | Path, index: int) -> dict[str, np.ndarray]:
    """Parameters and running values of one replicate of a block, by name: (1, ...) each.

    `index`: its place among the block's seeds. What only training needs (Adam's) is left out.
    """
    tensors = read_tensors(checkpoint)
    return {
        name: array[index : index + 1]
        for name, array in tensors.items()
        if not name.startswith("adam.")
    }


def network_of(weights: Mapping[str, np.ndarray]) -> Network:
    """The network of `weights_of`, one replicate, in evaluation mode."""
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    hidden = Linear(tensors["hidden.weight"], tensors["hidden.bias"])
    norm = None
    if "norm.scale" in tensors:  # what it needs beside its state matters in training only
        width = hidden.weight.shape[-1]
        norm = BatchNorm(1, width, momentum=0.0, epsilon=0.0, correction=0)
    network = Network(hidden, Linear(tensors["output.weight"], tensors["output.bias"]), norm)
    network.load_state_dict(tensors)
    return network.eval()


def model_of(weights: Mapping[str, np.ndarray]) -> nn.Sequential:
    """The same as PyTorch's own layers, for inputs (n, 3), float64: linear, tanh, linear.

    In evaluation mode BN is an affine map, and so part of the first layer.
    """
    network = network_of(weights)
    with torch.no_grad():
        first = network.fold(None)
        model = nn.Sequential(
            _linear(INPUTS, network.width, first.weight[0], first.bias[0]),
            nn.Tanh(),
            _linear(network.width, OUTPUTS, network.output.weight[0], network.output.bias[0]),
        )
    return model.eval()


def load_model(uri: str) -> nn.Sequential:
    """The model of any run: `uri` names its weights, runs:/<run id>/weights.safetensors."""
    return model_of(read_tensors(download_artifacts(uri)))


def save_weights(path: Path, checkpoint: Path, index: int) -> None:
    """Write the weights of one replicate of a block as safetensors."""
    write_tensors(path, weights_of(checkpoint, index))


def save_model(folder: Path, checkpoint: Path, index: int) -> None:
    """Write the model of one replicate in MLflow's format; nothing in it is pickled."""
    mlflow.pytorch.save_model(
        model_of(weights_of(checkpoint, index)),
        folder,
        input_example=np.zeros((2, INPUTS)),  # of more than one point: any number of points goes
        pip_requirements=[
            f"torch=={torch.__version__.split('+')[0]}",
            f"mlflow=={mlflow.__version__}",
        ],
        serialization_format="pt2",
    )


def dataset_input(path: Path, source: str, seed: int, digest: str) -> DatasetInput:
    """One replicate's data set as MLflow's; `source`: how a reader finds the file `path`."""
    data = read_data(path).select([seed])
    dataset = mlflow.data.from_numpy(
        {"train": data.train_inputs[0], "test": data.test_inputs[0]},
        source=LocalArtifactDatasetSource(source),
        targets={"train": data.train_targets[0], "test": data.test_targets[0]},
        name=f"seed {seed}",
        digest=digest[:36],  # MLflow's limit; the whole is in the tag dataset_digest
    )
    context = [InputTag("mlflow.data.context", "train and test")]
    return DatasetInput(Dataset(**dataset.to_dict()), context)


def _linear(inputs: int, outputs: int, weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    """PyTorch's layer with this weight (inputs, outputs) and bias (1, outputs)."""
    layer = nn.Linear(inputs, outputs, dtype=torch.float64)
    layer.weight.copy_(weight.T)
    layer.bias.copy_(bias[0])
    return layer
