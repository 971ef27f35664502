"""From experiments to cells, and from cells to blocks: what is to be trained, by which jobs.

A cell is all settings of a run but its seed. A cell that two experiments name is trained once. A
block is the seeds of one cell that one job trains; blocks lie on fixed multiples of the block size,
so that a new seed changes no other block.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

from bnstudy.config import members
from bnstudy.config.cell import SETTINGS, UNTUNED, Cell
from bnstudy.config.models import Study

SCOPES = ("", "extended/")  # of the default experiments; of all


class Block(NamedTuple):
    """A training job: the seeds of a cell from `start` on, at most a block size of them."""

    cell: Cell
    start: int

    @property
    def place(self) -> str:
        """Its folder in results/runs/."""
        return f"{self.cell.name}/seeds_{self.start}"


class Plan:
    """What the experiments of a study ask for."""

    def __init__(self, study: Study):
        self.study = study
        self.size = study.training.block_size
        asked: dict[Cell, dict[str, range]] = defaultdict(dict)
        alike: dict[tuple[str, Cell], list[Cell]] = defaultdict(list)
        experiments = study.experiments.training
        cells_of = {name: self._cells(name) for name in experiments}
        for name, cells in cells_of.items():
            for cell in cells:
                asked[cell][name] = study.seeds_of(experiments[name])
                alike[name, _untuned(cell)].append(cell)
        # Tuned cell: the cells whose runs choose its learning rate and schedule, with their seeds.
        self.candidates: dict[Cell, dict[Cell, range]] = {
            cell: {c: asked[c][source] for c in sorted(alike[source, _untuned(cell)], key=_order)}
            for name, cells in cells_of.items()
            if (source := experiments[name].tuned_by)
            for cell in cells
        }
        # Cell: the seeds that each experiment asks of it.
        self.cells = dict(sorted(asked.items(), key=lambda item: _order(item[0])))
        self._blocks: dict[str, list[Block]] = {}
        self._by_name = {cell.name: cell for cell in self.cells}
        self._budgets: dict[Cell, list[int]] = defaultdict(list)
        for cell in self.cells:
            self._budgets[replace(cell, epochs=0)].append(cell.epochs)

    def _cells(self, experiment: str) -> list[Cell]:
        """The cells of an experiment."""
        study, place = self.study, f"experiments.{experiment}"
        combinations = study.combinations(study.experiments.training[experiment])
        every = (study.resolved(settings, place) for settings in combinations)
        return [Cell(**{name: settings[name] for name in SETTINGS}) for settings in every]

    def experiments(self, scope: str) -> list[str]:
        """The experiments of a scope."""
        every = self.study.experiments.names
        return every if scope else [n for n in every if n in self.study.default_experiments]

    def rows(self, scope: str) -> list[dict[str, Any]]:
        """One row per experiment and cell: both names, the seeds, the settings."""
        wanted = self.experiments(scope)
        return [
            {
                "experiment": name,
                "cell": cell.name,
                "first_seed": asked[name].start,
                "seeds": len(asked[name]),
                **cell.values(),
            }
            for cell, asked in self.cells.items()
            for name in sorted(asked.keys() & wanted)
        ]

    def blocks(self, scope: str) -> list[Block]:
        """The training jobs of a scope, sorted."""
        if scope not in self._blocks:
            self._blocks[scope] = [
                Block(cell, start)
                for cell in self.cells
                for start in self._starts(self._ranges(cell, scope))
            ]
        return self._blocks[scope]

    def block(self, cell: str, start: int | str) -> Block:
        """The block of the cell with this name that starts at this seed."""
        return Block(self._by_name[cell], int(start))

    def seeds(self, block: Block, scope: str = SCOPES[-1]) -> list[int]:
        """The seeds of a block that a scope asks for. A job trains those of all experiments."""
        return self._within(block.start, self._ranges(block.cell, scope))

    def dataset_seeds(self, start: int | str) -> list[int]:
        """The seeds whose data lie in the file that starts at `start`: all that could be asked for,
        so that no new experiment changes the file."""
        return list(range(int(start), min(int(start) + self.size, 2**32)))

    def resumed(self, block: Block) -> Block | None:
        """The block of the same runs with a smaller budget whose end this one continues.

        Under a constant schedule a shorter run is the beginning of a longer one, unless the arm
        itself looks at the budget.
        """
        if block.cell.schedule != "constant" or "epochs" in _uses(block.cell):
            return None
        shorter = (e for e in self._budgets[replace(block.cell, epochs=0)] if e < block.cell.epochs)
        for epochs in sorted(shorter, reverse=True):
            earlier = block._replace(cell=replace(block.cell, epochs=epochs))
            if set(self.seeds(block)) <= set(self.seeds(earlier)):
                return earlier
        return None

    def cell(self, name: str) -> Cell:
        """The cell with this name."""
        return self._by_name[name]

    def tried(self, cell: Cell) -> list[Block]:
        """The blocks whose runs choose the settings of a tuned cell."""
        return [
            Block(candidate, start)
            for candidate, seeds in self.candidates[cell].items()
            for start in self._starts([seeds])
        ]

    def tuning_seeds(self, cell: Cell, block: Block) -> list[int]:
        """The seeds of a block that choose the settings of a tuned cell."""
        return self._within(block.start, [self.candidates[cell][block.cell]])

    def twins(self, block: Block) -> list[Block]:
        """The blocks of the same runs that are tuned for earlier objectives: the same may have been
        chosen for those, and is not trained twice."""
        objectives, cell = self.study.analysis.objectives, block.cell
        earlier = objectives[: objectives.index(cell.tuned_for)] if cell.tuned else []
        cells = [replace(cell, tuned_for=objective) for objective in earlier]
        return [block._replace(cell=twin) for twin in cells if twin in self.cells]

    def snapshots(self, block: Block) -> int:
        """Number of log-spaced epochs at which its networks are saved; 0 for tuning runs."""
        for name, seeds in self.cells[block.cell].items():
            experiment = self.study.experiments.training[name]
            if experiment.seeds != "tuning" and self._within(block.start, [seeds]):
                return self.study.snapshots.points
        return 0

    @cached_property
    def looked_at(self) -> dict[str, list[Block]]:
        """The blocks whose saved networks `curvature` looks at, by their cells' names."""
        wanted = self.study.experiments.curvature
        if wanted is None:
            return {}
        seeds, found = set(self.study.seeds_of(wanted)), {}
        for cell, asked in self.cells.items():
            if cell.width == wanted.width and asked.keys() & set(wanted.experiments):
                starts = self._starts(asked.values())
                blocks = [b for b in (Block(cell, s) for s in starts) if self.snapshots(b)]
                found[cell.name] = [b for b in blocks if seeds.intersection(self.seeds(b))]
        return {name: blocks for name, blocks in found.items() if blocks}

    def job_settings(self, cell: Cell) -> dict[str, Any]:
        """All settings of a training job, but for what is chosen for a tuned one. What an arm does
        not use is left out, so that changing it leaves the arm alone; so is the block size, on
        which no result depends."""
        study = self.study
        sections = [name for name in _uses(cell) if name not in SETTINGS]
        left_out = () if cell.tuned else UNTUNED
        named = {n: v for n, v in cell.values().items() if v is not None and n not in left_out}
        return {
            "cell": cell.name,
            **named,
            "dataset": study.dataset.model_dump(),
            "arm_settings": study.arms[cell.arm],
            "task_settings": study.tasks[cell.task],
            "optimizer_settings": study.optimizers[cell.optimizer],
            **{name: getattr(study, name).model_dump() for name in sections},
            "device": study.training.device,
        }

    def cost(self, block: Block, *, through: bool = False) -> float:
        """Core-seconds that a block takes, roughly; measured on one core of a current processor.

        `through`: with those of the longest block that goes on from its end.
        """
        samples = self.study.dataset.train_size + self.study.dataset.test_size
        earlier, last = self.resumed(block), block.cell.epochs
        if through and block.cell.schedule == "constant":
            last = max(self._budgets[replace(block.cell, epochs=0)])
        epochs = last - (earlier.cell.epochs if earlier else 0)
        return 1.3e-9 * len(self.seeds(block)) * epochs * samples * (block.cell.width + 20)

    def _ranges(self, cell: Cell, scope: str) -> Sequence[range]:
        """The seeds of a cell as ranges: a study of a million runs asks for them block by block."""
        asked = self.cells[cell]
        if scope:
            return list(asked.values())
        return [seeds for name, seeds in asked.items() if name in self.study.default_experiments]

    def _starts(self, ranges: Iterable[range]) -> list[int]:
        size = self.size
        starts = (range(seeds.start // size * size, seeds.stop, size) for seeds in ranges)
        return sorted(set().union(*starts))

    def _within(self, start: int, ranges: Iterable[range]) -> list[int]:
        """The seeds of a block that lie in one of `ranges`."""
        end = start + self.size
        clipped = (range(max(seeds.start, start), min(seeds.stop, end)) for seeds in ranges)
        return sorted(set().union(*clipped))


def _uses(cell: Cell) -> tuple[str, ...]:
    """The sections of the settings, and the settings of a run, that the cell's arm looks at."""
    return members.declared("arms", cell.arm).get("USES", ())


def _order(cell: Cell) -> tuple[Any, ...]:
    """Numbers by size; a full batch, which is no number, after the others; what is chosen first."""
    values = vars(cell) | {"rate": cell.learning_rate or 0.0, "schedule": cell.schedule or ""}
    if cell.batch_size == "full":
        values["batch_size"] = math.inf
    return tuple(values["rate" if name == "learning_rate" else name] for name in SETTINGS)


def _untuned(cell: Cell) -> Cell:
    """The settings that tuning leaves alone."""
    return replace(cell, learning_rate=None, schedule=None, **UNTUNED)
