"""The train loss of one network as a function of its parameters: its derivatives up to the second.

L(θ) = |y(θ) - t|²/n over the n training samples, all of them one batch: with BN its statistics are
functions of θ, and the running values stay what they are. With J = ∂y/∂θ, all n · 3 outputs,

    ∇L = 2/n Jᵀ(y - t),   Gauss–Newton G = 2/n JᵀJ,   Hessian H = G + 2/n Σ (y - t) ∇²y.

Networks whose pre-activations are an affine map of the inputs, z = xA + a, are the network without
BN in other coordinates: θ ↦ α = (A, a, V, c), and y = tanh(xA + a)V + c. There G and H have closed
forms, of which H - G couples only what belongs to one unit; with T = ∂α/∂θ,

    G = Tᵀ G_α T,   H = Tᵀ H_α T + ∇²⟨∇_α L, α(θ)⟩.

At width 100 that takes 0.1 s; by their definitions, as for all other networks, 8 s.
"""

import copy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from scipy import linalg, sparse
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call

from bnstudy.experiment.layers import Moments, Network, split

Vector = Float64[np.ndarray, " parameter"]
Matrix = Float64[np.ndarray, "parameter parameter"]
Points = Float64[np.ndarray, "sample 3"]


class AffineMap(nn.Module):
    """A network's affine map in training mode as a module, so that it can be a function of θ."""

    def __init__(self, network: Network, inputs: Float64[Tensor, "1 sample 3"]):
        super().__init__()
        self.network, norm = network, network.norm
        self.moments = None if norm is None else Moments.of(inputs, norm.correction)

    def forward(self) -> Float64[Tensor, "4 unit"]:
        """A and, in the last row, a."""
        return torch.cat(self.network.affine(self.moments), dim=1)[0]


class TrainLoss:
    """L of one replicate, `network`, on its training set. Nothing is dropped."""

    def __init__(self, network: Network, inputs: Points, targets: Points):
        self.network = copy.deepcopy(network).train()
        self.network.dropout = None
        self.x, self.t = torch.from_numpy(inputs)[None], torch.from_numpy(targets)[None]
        self.parameters: Vector = (
            nn.utils.parameters_to_vector(self.network.parameters()).detach().numpy()
        )

    def outputs(self, theta: Float64[Tensor, " parameter"]) -> Float64[Tensor, "1 sample 3"]:
        """y(θ)."""
        return functional_call(self.network, self._state(theta), self.x)

    def value(self, theta: Float64[Tensor, " parameter"]) -> Float64[Tensor, ""]:
        """L(θ)."""
        return (self.outputs(theta) - self.t).square().sum() / self.t.shape[1]

    def gradient(self, theta: Vector) -> Vector:
        """∇L(θ)."""
        point = torch.from_numpy(theta).requires_grad_()
        return torch.autograd.grad(self.value(point), point)[0].numpy()

    def second_order(self) -> tuple[Matrix, Matrix]:
        """Gauss–Newton matrix and Hessian at the network's parameters."""
        return self._by_affine_map() if self.network.has_affine else self.by_definition()

    def by_definition(self) -> tuple[Matrix, Matrix]:
        """`second_order` of any network, row by row."""
        theta = torch.from_numpy(self.parameters)
        J = jacobian(lambda theta: self.outputs(theta).flatten(), theta).numpy()
        return 2 / self.t.shape[1] * J.T @ J, hessian(self.value, theta).numpy()

    def _by_affine_map(self) -> tuple[Matrix, Matrix]:
        """`second_order` by the closed forms."""
        units, layer = self.network.width, AffineMap(self.network, self.x)
        theta = torch.from_numpy(self.parameters)
        front, output = theta.tensor_split([len(theta) - 3 * (units + 1)])

        def affine(front: Tensor) -> Tensor:
            state = self._state(torch.cat([front, output]))
            return functional_call(layer, {f"network.{n}": value for n, value in state.items()})

        x, t = self.x[0].numpy(), self.t[0].numpy()
        A, V = affine(front).detach().numpy(), output.view(-1, 3).numpy()
        gradient, G, H = derivatives(x, t, A, V)
        upstream = torch.from_numpy(gradient)
        bent = hessian(lambda front: (upstream * affine(front)).sum(), front, vectorize=True)
        T = jacobian(affine, front, vectorize=True).flatten(0, 1).numpy()
        # Of BN each unit's own: multiplied as a sparse matrix it costs next to nothing.
        turn = sparse.csr_array(linalg.block_diag(T, np.eye(output.numel())))
        G, H = (turn.T @ (turn.T @ matrix).T for matrix in (G, H))
        H[: len(front), : len(front)] += bent.numpy()
        return G, H

    def _state(self, theta: Tensor) -> dict[str, Any]:
        """Parameters and buffers by name; of the buffers copies, which a pass may change."""
        buffers = {name: value.clone() for name, value in self.network.named_buffers()}
        return split(theta[None], self.network) | buffers


def derivatives(
    inputs: Points,
    targets: Points,
    first: Float64[np.ndarray, "4 unit"],
    last: Float64[np.ndarray, "unit+1 3"],
) -> tuple[Float64[np.ndarray, "4 unit"], Matrix, Matrix]:
    """∂L/∂(A, a), Gauss–Newton matrix and Hessian of y = tanh(xA + a)V + c in A, a, V, c.

    `first`: A and, in the last row, a; `last`: V and, in the last row, c.
    """
    samples, units = len(inputs), first.shape[1]
    x = np.column_stack([inputs, np.ones(samples)])
    h = np.tanh(x @ first)
    features, slope, V = np.column_stack([h, np.ones(samples)]), 1 - h**2, last[:-1]
    residual = features @ last - targets
    pull = residual @ V.T  # half of ∂(n L)/∂h
    moved = (x[:, :, None] * slope[:, None, :]).reshape(samples, -1)  # ∂h_j/∂A_lj, column (l, j)

    front, each = 4 * units, np.arange(units)
    G = np.empty((front + last.size,) * 2)
    first_first = (moved.T @ moved).reshape(4, units, 4, units) * (V @ V.T)[:, None]
    first_last = (moved.T @ features).reshape(4, units, -1, 1) * V[:, None]
    G[:front, :front] = first_first.reshape(front, front)
    G[:front, front:] = first_last.reshape(front, -1)
    G[front:, :front] = G[:front, front:].T
    G[front:, front:] = np.kron(features.T @ features, np.eye(3))

    curved = np.zeros((4, units, 4, units))  # the residual's part of H: of one unit each
    products = (x[:, :, None] * x[:, None, :]).reshape(samples, -1)
    curved[:, each, :, each] = (products.T @ (pull * -2 * h * slope)).T.reshape(units, 4, 4)
    mixed = np.zeros((4, units, units + 1, 3))
    mixed[:, each, each] = (moved.T @ residual).reshape(4, units, 3)
    H = G.copy()
    H[:front, :front] += curved.reshape(front, front)
    H[:front, front:] += mixed.reshape(front, -1)
    H[front:, :front] += mixed.reshape(front, -1).T
    return 2 / samples * x.T @ (pull * slope), 2 / samples * G, 2 / samples * H
