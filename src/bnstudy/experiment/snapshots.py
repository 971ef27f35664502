"""Networks as they were while training: saved by a block's job, read by diagnostics.

A block's snapshots.safetensors holds arrays with leading axes (epoch, seed): `epoch` (epochs,);
`parameters` and `gradients` (epochs, R, P), one row in the order of the network's parameters, the
gradients being those of the summed train loss of the step that led to the parameters (of its
minibatch); `second_moment` (epochs, R, P) where the optimizer has one; running values by name.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from bnstudy.experiment.data import read_data, task_jacobian
from bnstudy.experiment.layers import Affine, Network, build_network, split
from bnstudy.files import check_digests, read_json, read_tensors

Vector = Float64[np.ndarray, " parameter"]


@dataclass(frozen=True)
class Snapshot:
    """One replicate after one epoch, the test points at which it is looked at, and what it was
    trained on.

    n: test points. Whatever is derived is computed when it is asked for, from this replicate alone,
    so that no number depends on which replicates were trained together.
    """

    epoch: int
    seed: int
    settings: Mapping[str, Any]  # of the training job
    network: Network  # one replicate, in evaluation mode
    inputs: Float64[np.ndarray, "point 3"]
    targets: Float64[np.ndarray, "point 3"]
    train_inputs: Float64[np.ndarray, "train 3"]
    train_targets: Float64[np.ndarray, "train 3"]  # with their noise
    parameters: Vector
    gradient: Vector
    second_moment: Vector | None

    @property
    def gradients_by_name(self) -> dict[str, np.ndarray]:
        """The gradient in the shapes of the network's parameters, in their order."""
        parts = split(torch.from_numpy(self.gradient)[None], self.network)
        return {name: part[0].numpy() for name, part in parts.items()}

    @property
    def task_jacobian(self) -> Float64[np.ndarray, "point 3 3"]:
        """∂target/∂x at the test points."""
        names = self.settings["task"], self.settings["inputs"]
        return task_jacobian(*names, self.inputs, self.settings.get("task_settings"))

    @property
    def has_affine(self) -> bool:
        """Whether the pre-activations are one affine map of the inputs."""
        return self.network.has_affine

    @cached_property
    def input_weights(self) -> Float64[np.ndarray, "*point 3 unit"]:
        """∂z/∂x: A (3, width) where z = x A + a, else one such matrix for each test point.

        Not the raw weights: with BN their scale has no effect.
        """
        if self.has_affine:
            return self._affine.weight[0].numpy()
        x = torch.from_numpy(self.inputs)[None]
        columns = [
            torch.autograd.functional.jvp(self.network.pre_activations, x, axis.expand_as(x))[1][0]
            for axis in torch.eye(x.shape[-1], dtype=x.dtype)
        ]
        return torch.stack(columns, dim=1).detach().numpy()

    @cached_property
    def output_weights(self) -> Float64[np.ndarray, "unit 3"]:
        """V of y = tanh(z) V + c."""
        return self.network.output.weight.detach()[0].numpy()

    @cached_property
    def pre_activations(self) -> Float64[np.ndarray, "point unit"]:
        """z at the test points."""
        if self.has_affine:
            return self.inputs @ self.input_weights + self._affine.bias[0].numpy()
        with torch.no_grad():
            return self.network.pre_activations(torch.from_numpy(self.inputs)[None])[0].numpy()

    @cached_property
    def features(self) -> Float64[np.ndarray, "point unit"]:
        """tanh z at the test points."""
        return np.tanh(self.pre_activations)

    @cached_property
    def jacobian(self) -> Float64[np.ndarray, "point 3 3"]:
        """∂y_k/∂x_l = Σ_j (1 - h_j²) V_jk ∂z_j/∂x_l at the test points."""
        h, A, V = self.features, self.input_weights, self.output_weights
        if A.ndim == 3:
            return np.einsum("nj,jk,nlj->nkl", 1 - h**2, V, A)
        inputs, outputs = len(A), V.shape[1]
        products = (V[:, :, None] * A.T[:, None, :]).reshape(len(V), -1)
        return ((1 - h**2) @ products).reshape(len(h), outputs, inputs)

    @cached_property
    def _affine(self) -> Affine:
        return Affine(*(part.detach() for part in self.network.affine(None)))


def read_snapshots(
    snapshots: str | Path, record: str | Path, dataset: str | Path
) -> Iterator[Snapshot]:
    """The snapshots of a block, seed by seed, each in the order of its epochs.

    `record` and `dataset` are the block's. The network is built once a replicate and copied, the
    saved values put in. DamagedFile where the snapshots are not what the record describes.
    """
    described = read_json(record)
    check_digests([snapshots], described["files"])
    arrays, settings, seeds = read_tensors(snapshots), described["settings"], described["seeds"]
    data = read_data(dataset).select(seeds).with_label_noise(settings["label_noise"])
    epochs, moments = arrays.pop("epoch").tolist(), arrays.pop("second_moment", None)
    parameters, gradients = arrays.pop("parameters"), arrays.pop("gradients")
    for row, seed in enumerate(seeds):
        inputs = torch.from_numpy(data.train_inputs[row : row + 1])
        untrained = build_network(settings["arm"], settings["width"], [seed], inputs, settings)
        state = untrained.state_dict()
        saved = {n: a for n, a in arrays.items() if n in state}  # not what is computed from inputs
        for index, epoch in enumerate(epochs):
            network = copy.deepcopy(untrained).eval()
            values = split(torch.from_numpy(parameters[index, row : row + 1]), network)
            running = {n: torch.from_numpy(a[index, row : row + 1]) for n, a in saved.items()}
            network.load_state_dict(values | running)
            yield Snapshot(
                epoch=epoch,
                seed=seed,
                settings=settings,
                network=network,
                inputs=data.test_inputs[row],
                targets=data.test_targets[row],
                train_inputs=data.train_inputs[row],
                train_targets=data.train_targets[row],
                parameters=parameters[index, row],
                gradient=gradients[index, row],
                second_moment=None if moments is None else moments[index, row],
            )
