"""Settings of training jobs, data and networks, for the tests of training."""

import numpy as np
import torch

from bnstudy.config import members
from bnstudy.experiment.data import make_data
from bnstudy.experiment.layers import build_network
from bnstudy.experiment.training import Training

RANGES = {"r": [-1.0, 1.0], "g": [-1.0, 1.0], "b": [-1.0, 1.0]}
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-6, "correction": 1}


def defaults(kind, name):
    """The settings of a member as it declares them."""
    declared = members.declared(kind, name).get("SETTINGS", {})
    return {key: field["default"] for key, field in declared.items()}


def settings_of(arm="none", width=5, **changes):
    """The settings of a job: the article's but for `changes`, on a small dataset."""
    chosen = {
        "cell": f"{arm}-w{width}",
        "task": "article",
        "inputs": "plain",
        "arm": arm,
        "width": width,
        "optimizer": "adam",
        "learning_rate": 0.001,
        "schedule": "constant",
        "batch_size": "full",
        "epochs": 30,
        "label_noise": 0.0,
        "dataset": {"train_size": 40, "test_size": 20, "ranges": RANGES},
    } | changes
    members_of = {"arm": arm, "task": chosen["task"], "optimizer": chosen["optimizer"]}
    own = {f"{kind}_settings": defaults(f"{kind}s", name) for kind, name in members_of.items()}
    if "batch_norm" in members.declared("arms", arm).get("USES", ()):
        own["batch_norm"] = BATCH_NORM
    return own | {"device": "cpu"} | chosen


def data_of(seeds, train_size=1000, test_size=300, task="article", inputs="plain"):
    """Datasets of seeds."""
    sizes = {"train_size": train_size, "test_size": test_size}
    return make_data(seeds, task, inputs, **sizes, ranges=RANGES)


def network_of(arm, width, seeds, inputs=None):
    """Untrained networks; `inputs` for the arms that start from another one's function."""
    if inputs is None:
        inputs = torch.from_numpy(data_of(seeds, 50, 1).train_inputs)
    return build_network(arm, width, seeds, inputs, settings_of(arm, width))


def training_of(arm, width, seeds, sizes=(1000, 300), **options):
    """Training at its start; `options` as of Training."""
    data = data_of(seeds, *sizes)
    network = network_of(arm, width, seeds, torch.from_numpy(data.train_inputs))
    return Training(network, data, **{"learning_rate": 1e-3} | options)


def curves_of(arm, width, seeds, epochs, **options):
    """Train and test losses (2, seeds, epochs)."""
    result = training_of(arm, width, seeds, **options).run(epochs)
    return np.stack([result.train_loss, result.test_loss])
