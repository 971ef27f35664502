"""The systems compared. Each trains the same networks on the same data and says their losses.

A system's module is imported when it is asked for: one may be missing (JAX is an optional extra).
"""

import importlib
from dataclasses import dataclass, field
from typing import Any

from benchmarks.problem import Run


@dataclass(frozen=True)
class System:
    """`label`: in tables and figures; `colour`, `line`: there. `module`, `function`, `options`:
    what prepares it.

    `batched`: trains replicates together, so that their number matters for the cost of each; the
    others train one model after another, and one is measured. `slow_to_prepare`: compiles for many
    seconds, so that it is measured at the first number of replicates only. `arms`: for which it
    says something.
    """

    label: str
    colour: str
    module: str
    function: str = "prepare"
    options: dict[str, Any] = field(default_factory=dict)
    batched: bool = True
    slow_to_prepare: bool = False
    arms: tuple[str, ...] = ("none", "batch")
    line: str = "-"

    def prepare(self, arm: str, width: int, replicates: int) -> Run:
        """Ready to train replicates 0, 1, ..."""
        module = importlib.import_module(f"benchmarks.systems.{self.module}")
        return getattr(module, self.function)(arm, width, replicates, **self.options)


SYSTEMS = {
    "original": System("original's loop", "#000000", "original", batched=False),
    "modules": System("PyTorch modules", "#CC79A7", "modules", batched=False),
    "vmap": System("torch.func vmap", "#E69F00", "functional"),
    "compile": System("torch.compile", "#56B4E9", "compiled", slow_to_prepare=True),
    "jax": System("JAX jit + scan", "#0072B2", "jax_scan"),
    "jax-folded": System(
        "JAX, BN folded", "#0072B2", "jax_scan", options={"fold": True}, arms=("batch",), line="--"
    ),
    "ours": System("bnstudy", "#D55E00", "ours"),
    "handwritten": System("hand-written C++", "#009E73", "handwritten", line=":"),
}
