"""A cell: all settings of a run but its seed."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

# The settings beside arm and width, as the article has them. A run's name and key say only what
# differs from these, so that a new setting, at its default, leaves both as they are.
ARTICLE: dict[str, Any] = {
    "task": "article",
    "inputs": "plain",
    "optimizer": "adam",
    "learning_rate": 0.001,
    "schedule": "constant",
    "batch_size": "full",
    "epochs": 10_000,
    "label_noise": 0.0,
    "tuned_for": "nothing",
    "tuned_rank": 1,
}
# Of cells that are not tuned; no result depends on them.
UNTUNED = {name: ARTICLE[name] for name in ("tuned_for", "tuned_rank")}
# What a cell's name says of a setting that is not the article's.
NAME_PARTS = {
    "task": "{}",
    "inputs": "{}",
    "optimizer": "{}",
    "learning_rate": "lr{}",
    "schedule": "{}",
    "batch_size": "b{}",
    "epochs": "e{}",
    "label_noise": "noise{}",
    "tuned_for": "tuned-{}",
    "tuned_rank": "rank{}",
}


@dataclass(frozen=True)
class Cell:
    """All settings of a run but its seed.

    Of a tuned cell learning rate and schedule (None here) are those that the tuning seeds chose for
    what it is `tuned_for`, an outcome in runs.csv: the best (`tuned_rank` 1), or the runner-up (2).
    """

    task: str
    inputs: str
    arm: str
    width: int
    optimizer: str
    learning_rate: float | None
    schedule: str | None
    batch_size: int | str
    epochs: int
    label_noise: float
    tuned_for: str = ARTICLE["tuned_for"]
    tuned_rank: int = ARTICLE["tuned_rank"]

    @cached_property
    def name(self) -> str:
        """What it is called in files: arm, width, and all that is not as in the article."""
        parts = [
            text.format(getattr(self, setting)).replace("_", "-")
            for setting, text in NAME_PARTS.items()
            if getattr(self, setting) not in (ARTICLE[setting], None)
        ]
        return "-".join([self.arm, f"w{self.width}", *parts])

    @property
    def tuned(self) -> bool:
        """Whether tuning seeds choose its learning rate and schedule."""
        return self.tuned_for != ARTICLE["tuned_for"]

    @property
    def data(self) -> str:
        """The data that it trains on: task and inputs."""
        return f"{self.task}-{self.inputs}"

    def values(self) -> dict[str, Any]:
        """The settings by name."""
        return {setting: getattr(self, setting) for setting in SETTINGS}


SETTINGS = tuple(field.name for field in fields(Cell))
