"""How well conditioned training is at a saved network, as gradient descent and as Adam meets it.

Adam's step is θ ← θ - rate · P⁻¹ m with P = √v̂ + ε: gradient descent in the coordinates P^(1/2) θ,
where a matrix M of second derivatives becomes P^(-1/2) M P^(-1/2) (Cohen et al. 2022). All is of
the train loss per sample L, the whole training set as one batch (bnstudy.analysis.train_loss).

Condition numbers weigh the eigenvalues λ of the Gauss–Newton matrix by what is to be learned along
their eigenvectors v: of the loss, (vᵀ∇L)²/2λ. Without weights there is none: the smallest
eigenvalue is 0 (the bias before BN has no effect, the length of a unit's weights next to none), and
where the others end is a matter of rounding: λmax over their median is 4e7 if those above
1e-12 λmax count, 7e8 if those above 1e-16 λmax do (none, width 300, seed 3000 after 3 epochs).

Of an untrained network P is |∇L|, and what is largest in Adam's coordinates belongs to the few
weights whose gradient happens to be near 0: read it with that in mind.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from math import ceil

import numpy as np
import pandas as pd
import torch
from scipy.sparse.linalg import eigsh

from bnstudy.analysis.collect import BlockOfScope
from bnstudy.analysis.train_loss import Matrix, TrainLoss, Vector
from bnstudy.config.cell import SETTINGS
from bnstudy.experiment.layers import build_network
from bnstudy.experiment.optimizers.adam import BETA1, BETA2, EPSILON
from bnstudy.experiment.schedules import rate
from bnstudy.experiment.snapshots import Snapshot, read_snapshots

UNTRAINED = -1  # the epoch of a network before its first step
STEPS = (0.5, 1.0, 2.0, 4.0)  # lengths at which the gradient's change is looked at, in steps
# Rate times largest eigenvalue of P^(-1/2) H P^(-1/2) from which on Adam is unstable on a
# quadratic: 38 (Cohen et al. 2022, arXiv 2207.14484).
STABLE_BELOW = 2 * (1 + BETA1) / (1 - BETA1)
COLUMNS = (
    "loss",
    "gauss_newton_largest",  # λmax of G
    "condition_median",
    "condition_effective",
    "sharpness",  # λmax of the Hessian H
    "preconditioned_sharpness",  # λmax of P^(-1/2) H P^(-1/2)
    "stability",  # that times the rate, over STABLE_BELOW
    "condition_effective_adam",  # condition_effective in the coordinates P^(1/2) θ
    # Gradient predictiveness (Santurkar et al. 2018): the largest of ‖∇L(θ + Δ) - ∇L(θ)‖/‖∇L(θ)‖
    # with Δ = -rate · P⁻¹ ∇L times each of STEPS; P = 1 for an optimizer without a second moment.
    "gradient_change",
)


def curvature_of_cell(blocks: Sequence[BlockOfScope], points: int) -> pd.DataFrame:
    """One row per seed and epoch of a cell: the untrained network (epoch -1) and `points` of the
    saved ones, the first, the last and evenly between; COLUMNS, behind cell and settings.

    One thread, so that results do not depend on the number of cores.
    """
    torch.set_num_threads(1)
    rows = []
    for block in blocks:
        front = {name: block.settings[name] for name in ("cell", *SETTINGS)}
        snapshots = read_snapshots(
            block.folder / "snapshots.safetensors", block.folder / "record.json", block.dataset
        )
        for seed, of_seed in groupby(snapshots, key=lambda snapshot: snapshot.seed):
            if seed not in block.seeds:
                continue
            saved = list(of_seed)
            chosen = np.unique(np.linspace(0, len(saved) - 1, points).round().astype(int))
            for snapshot in [untrained(saved[0]), *(saved[index] for index in chosen)]:
                row = {"seed": seed, "epoch": snapshot.epoch}
                rows.append(front | row | measure(snapshot))
    return pd.DataFrame(rows)


def curvature_table(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """curvature.csv: the rows of all cells."""
    nothing = pd.DataFrame(columns=["cell", *SETTINGS, "seed", "epoch", *COLUMNS])
    return pd.concat([*tables] or [nothing], ignore_index=True)


def untrained(snapshot: Snapshot) -> Snapshot:
    """The same replicate before its first step: another network, to be asked for nothing else."""
    settings, inputs = snapshot.settings, torch.from_numpy(snapshot.train_inputs)[None]
    network = build_network(settings["arm"], settings["width"], [snapshot.seed], inputs, settings)
    return replace(snapshot, epoch=UNTRAINED, network=network)


def measure(snapshot: Snapshot) -> dict[str, float]:
    """COLUMNS of one network; missing where its loss is not finite. Those of Adam are missing for
    an optimizer without a second moment."""
    loss = TrainLoss(snapshot.network, snapshot.train_inputs, snapshot.train_targets)
    theta, value = loss.parameters, loss.value(torch.from_numpy(loss.parameters)).item()
    if not np.isfinite(value):
        return dict.fromkeys(COLUMNS, np.nan)
    gradient, (G, H) = loss.gradient(theta), loss.second_order()
    learning_rate, P = rate_of(snapshot), preconditioner(snapshot, gradient)
    eigenvalues, eigenvectors = np.linalg.eigh(G)
    found = {
        "loss": value,
        "gauss_newton_largest": eigenvalues[-1],
        "condition_median": condition_median(eigenvalues, eigenvectors.T @ gradient, value),
        "condition_effective": condition_effective(eigenvalues[-1], gradient, value),
        "sharpness": largest_eigenvalue(H),
    }
    step = learning_rate * gradient
    if P is not None:
        turn, step = np.outer(P, P) ** -0.5, step / P
        sharpness, steepest = largest_eigenvalue(turn * H), largest_eigenvalue(turn * G)
        found |= {
            "preconditioned_sharpness": sharpness,
            "stability": learning_rate * sharpness / STABLE_BELOW,
            "condition_effective_adam": condition_effective(steepest, gradient / P**0.5, value),
        }
    changes = [loss.gradient(theta - length * step) - gradient for length in STEPS]
    found["gradient_change"] = max(map(np.linalg.norm, changes)) / np.linalg.norm(gradient)
    return {column: float(found.get(column, np.nan)) for column in COLUMNS}


def condition_effective(largest: float, gradient: Vector, loss: float) -> float:
    """λmax over |∇L|²/2L, the mean of the eigenvalues, each weighted by its share of the loss.

    That mean is the constant of Polyak and Łojasiewicz that holds at this point: one step of
    gradient descent at the rate 1/λmax lowers a quadratic loss by at least its ratio to λmax.
    """
    return 2 * loss * largest / (gradient @ gradient)


def condition_median(eigenvalues: Vector, gradient: Vector, loss: float) -> float:
    """λmax over the eigenvalue down to which half of the loss lies, the steepest first.

    `eigenvalues` ascend; `gradient` in the coordinates of their eigenvectors. Eigenvalues that
    rounding does not tell from 0 (as in numpy.linalg.matrix_rank) have no share. Missing where more
    than half of the loss lies along none. Unlike the mean it is not carried away by a little loss
    along the steepest, where training oscillates: 14,500 against 26 (batch, width 100, seed 3000,
    epoch 222 of 1,000 at a rate of 0.1 under cosine).
    """
    steepest_first, gradient = eigenvalues[::-1], gradient[::-1]
    certain = steepest_first > len(eigenvalues) * np.finfo(float).eps * eigenvalues[-1]
    shares = gradient[certain] ** 2 / (2 * steepest_first[certain])
    reached = shares.cumsum() >= loss / 2
    return eigenvalues[-1] / steepest_first[reached.argmax()] if reached.any() else np.nan


def largest_eigenvalue(matrix: Matrix) -> float:
    """By Lanczos iteration, from a fixed start: 0.01 s at 903 parameters, 0.3 s at 2,703, where
    LAPACK's exact one takes 0.1 s and 3 s."""
    start = np.ones(len(matrix))
    return float(eigsh(matrix, 1, which="LA", v0=start, return_eigenvectors=False)[0])


def rate_of(snapshot: Snapshot) -> float:
    """The learning rate of the step that led to the network; of an untrained one the first."""
    settings, per_epoch = snapshot.settings, steps_per_epoch(snapshot)
    last = max((snapshot.epoch + 1) * per_epoch - 1, 0)
    budget = settings["epochs"] * per_epoch
    return rate(settings["schedule"], settings["learning_rate"], last, budget)


def preconditioner(snapshot: Snapshot, gradient: Vector) -> Vector | None:
    """P of Adam's step θ ← θ - rate · P⁻¹ ∇L, bias corrected; that of the first step, |∇L|, before
    it. None for an optimizer without a second moment.

    `gradient` is of the loss per sample, Adam's are of the sum over the samples of a step.
    """
    if snapshot.second_moment is None:
        return None
    samples, steps = batch_size(snapshot), (snapshot.epoch + 1) * steps_per_epoch(snapshot)
    first = (samples * gradient) ** 2
    square = snapshot.second_moment / (1 - BETA2**steps) if steps else first
    return (np.sqrt(square) + EPSILON) / samples


def batch_size(snapshot: Snapshot) -> int:
    """Samples of a step."""
    size = snapshot.settings["batch_size"]
    return len(snapshot.train_inputs) if size == "full" else size


def steps_per_epoch(snapshot: Snapshot) -> int:
    """Optimizer steps of a pass over the training set."""
    return ceil(len(snapshot.train_inputs) / batch_size(snapshot))
