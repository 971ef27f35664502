"""Tables made to a known answer, for the tests of hypotheses, claims and figures."""

import numpy as np
import pandas as pd

FEATURES = ("mean_abs_z", "saturated_share", "effective_rank", "gradient_norm", "path_norm",
            "jacobian_norm", "jacobian_error")  # fmt: skip


def runs(analysis, widths=(100, 300), count=12, speed=0.5, final=1.0, spread=0.1, seed=1,
         features=0.7, arms=("batch",)):  # fmt: skip
    """Runs in which each of `arms` needs `speed` times the epochs of none, ends at `final` times
    its loss and has `features` times its features."""
    rng = np.random.default_rng(seed)
    rows = []
    for width in widths:
        for s in range(count):
            base = rng.uniform(100, 300)
            for arm in ("none", *arms):
                of = {"speed": 1.0, "final": 1.0, "features": 1.0}
                if arm != "none":
                    of = {"speed": speed, "final": final, "features": features}
                noise = np.exp(rng.normal(0, spread, 2))
                loss = 0.01 * of["final"] * noise[0]
                row = {"arm": arm, "width": width, "seed": s, "in_grid": True, "status": "finished",
                       "final_test_loss": loss, "last_test_loss": 1.1 * loss,
                       "final_train_loss": 0.9 * loss}  # fmt: skip
                for index, threshold in enumerate(analysis.thresholds):
                    row[f"epochs_to_{threshold:g}"] = base * (index + 1) * of["speed"] * noise[1]
                    row[f"reached_{threshold:g}"] = True
                for name in FEATURES:
                    scale = of["final"] if name == "jacobian_error" else of["features"]
                    row[f"final_{name}"] = scale * np.exp(rng.normal(0, spread))
                rows.append(row)
    return pd.DataFrame(rows)


def gradients(count=12, factors=((2.4, 1.1), (0.9, 1.05)), seed=2, depth=5):
    """Gradients that grow by these factors a layer: (none, batch), unscaled then fan-in."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame([
        {"initialization": name, "arm": arm, "seed": s, "layer": layer,
         "gradient_norm": (factor * wobble) ** -layer}
        for name, pair in zip(("unscaled", "fan-in"), factors, strict=True)
        for arm, factor in zip(("none", "batch"), pair, strict=True)
        for s in range(count) for wobble in [np.exp(rng.normal(0, 0.01))]
        for layer in range(1, depth + 1)
    ], columns=["initialization", "arm", "seed", "layer", "gradient_norm"])  # fmt: skip


def digits(count=12, ratios=(0.8, 0.8), seed=3):
    """Epochs to the threshold, batch this many times none's: dense, then convolutional."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame([
        {"network": network, "arm": arm, "seed": s, "threshold": 0.23,
         "epochs_to_threshold": 20 * (ratio if arm == "batch" else 1) * rng.uniform(0.95, 1.05)}
        for network, ratio in zip(("dense", "convolutional"), ratios, strict=True)
        for arm in ("none", "batch") for s in range(count)
    ], columns=["network", "arm", "seed", "threshold", "epochs_to_threshold"])  # fmt: skip


def tables(made_runs, count=12, **probes):
    """The tables that the tests of hypotheses need."""
    return {
        "runs": made_runs,
        "gradients": gradients(count, **{k: v for k, v in probes.items() if k == "factors"}),
        "digits": digits(count, **{k: v for k, v in probes.items() if k == "ratios"}),
    }
