"""What belongs to a run beside numbers: its weights, a loadable model, its data set."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.pytorch
import numpy as np
import torch
from mlflow.artifacts import download_artifacts
from mlflow.data.numpy_dataset import from_numpy
from mlflow.data.sources import (  # type: ignore[attr-defined]  # made at run time
    LocalArtifactDatasetSource,
)
from mlflow.entities import Dataset, DatasetInput, InputTag
from safetensors import safe_open
from torch import Tensor, nn

from bnstudy.experiment.data import read_data
from bnstudy.experiment.layers import INPUTS, Network, build_network
from bnstudy.files import read_tensors, write_tensors

# What a checkpoint holds for training alone.
TRAINING_ONLY = ("optimizer.", "generator.")


def save_weights(path: Path, checkpoint: Path, index: int, settings: Mapping[str, Any]) -> None:
    """Write parameters and running values of one replicate of a block, by name: (1, ...) each.

    `index`: its place among the block's seeds. `settings`: the block's; the file holds them too, so
    that the network can be built from it alone.
    """
    tensors = {
        name: array[index : index + 1]
        for name, array in read_tensors(checkpoint).items()
        if not name.startswith(TRAINING_ONLY)
    }
    write_tensors(path, tensors, settings=json.dumps(settings))


def load_network(path: str | Path) -> Network:
    """The network of `save_weights`, one replicate, in evaluation mode. For any arm."""
    with safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["settings"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return network_of(tensors, settings)


def network_of(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Network:
    """The network with these parameters and running values, in evaluation mode.

    Built as before training, by the arm's own file; all values that it starts from are replaced.
    """
    inputs = torch.ones(1, 2, INPUTS, dtype=torch.float64)
    network = build_network(settings["arm"], settings["width"], [0], inputs, settings)
    network.load_state_dict(tensors)
    return network.eval()


def load_model(uri: str) -> nn.Module:
    """The model of any run: `uri` names its weights, runs:/<run id>/weights.safetensors."""
    return model_of(load_network(download_artifacts(uri)))


def model_of(network: Network) -> nn.Module:
    """The same for inputs (n, 3), float64, and without the axis of replicates.

    PyTorch's own layers, linear, tanh, linear, where what comes before the activation is affine in
    evaluation mode, as BN is.
    """
    if not network.has_affine:
        return OneReplicate(network).eval()
    with torch.no_grad():
        affine = network.affine(None)
        model = nn.Sequential(
            _linear(affine.weight[0], affine.bias[0]),
            nn.Tanh(),
            _linear(network.output.weight[0], network.output.bias[0]),
        )
    return model.eval()


class OneReplicate(nn.Module):
    """A network of one replicate, for inputs (n, 3) to outputs (n, 3)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3) to (n, 3)."""
        outputs: Tensor = self.network(x.unsqueeze(0))
        return outputs.squeeze(0)


def save_model(folder: Path, weights: Path) -> None:
    """Write the model of a file of `save_weights` in MLflow's format; nothing in it is pickled."""
    pins = [f"torch=={torch.__version__.split('+')[0]}", f"mlflow=={mlflow.__version__}"]
    mlflow.pytorch.save_model(
        model_of(load_network(weights)),
        folder,
        input_example=np.zeros((2, INPUTS)),  # of more than one point: any number of points goes
        pip_requirements=pins,
        serialization_format="pt2",
    )


def dataset_input(
    directory: Path, block: str, record: Mapping[str, Any], seed: int
) -> DatasetInput:
    """One replicate's data set as MLflow's; `block`: the name of its block's folder."""
    settings = record["settings"]
    source = f"results/datasets/{settings['task']}-{settings['inputs']}/{block}.npz"
    data = read_data(directory / source).select([seed])
    dataset = from_numpy(
        {"train": data.train_inputs[0], "test": data.test_inputs[0]},
        source=LocalArtifactDatasetSource(source),
        targets={"train": data.train_targets[0], "test": data.test_targets[0]},
        name=f"seed {seed}",
        # MLflow's limit; the whole is in the tag dataset_digest.
        digest=record["dataset_digests"][str(seed)][:36],
    )
    context = [InputTag("mlflow.data.context", "train and test")]
    return DatasetInput(Dataset(**dataset.to_dict()), context)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """PyTorch's layer with this weight (inputs, outputs) and bias (1, outputs)."""
    layer = nn.Linear(len(weight), weight.shape[1], dtype=torch.float64)
    layer.weight.copy_(weight.T)
    layer.bias.copy_(bias[0])
    return layer
