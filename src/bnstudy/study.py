"""The study's settings, typed and checked, and the grid of runs they describe.

One source of truth: these classes refuse a bad config.yaml, and the JSON schema that editors use
(workflow/schemas/config.schema.yaml) is generated from them by `python -m bnstudy.study`.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

# Where an arm is made: bnstudy.networks.make_network.
Arm = Literal["none", "batch", "batch-matched", "none-standardized", "dropout"]
PAIR = ("none", "batch")  # the study compares these two
WITH_BATCH_NORM = ("batch", "batch-matched", "none-standardized")  # arms that use its settings
Width = Annotated[int, Field(gt=0, le=100_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Ratio = Annotated[float, Field(gt=1, description="a ratio above 1")]


class ConfigError(ValueError):
    """config.yaml says something the study cannot do; the message names the key and the remedy."""


def _distinct(values: list) -> list:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(
            f"{', '.join(map(str, repeated))} stands there more than once; name it once"
        )
    return values


def _ascending(bounds: list[float]) -> list[float]:
    low, high = bounds
    if not low < high:
        raise ValueError(f"the lower end {low} must be below the upper end {high}")
    return bounds


Range = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_ascending)]


class Section(BaseModel):
    """A part of config.yaml: unknown keys and wrong types are refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Seeds(Section):
    first: Seed = Field(description="first seed")
    count: PositiveInt = Field(description="number of consecutive seeds", le=1_000_000)

    @model_validator(mode="after")
    def _within_generator_range(self):
        if self.first + self.count > 2**32:
            raise ValueError("first + count must not exceed 2**32, the generators' seed range")
        return self


class Grid(Section):
    widths: Annotated[list[Width], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="numbers of hidden units"
    )
    seeds: Seeds
    arms: Annotated[list[Arm], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="network variants"
    )


class Original(Section):
    width: Width
    seed: Seed


class Ranges(Section):
    r: Range
    g: Range
    b: Range


class Dataset(Section):
    train_size: int = Field(ge=2, le=10_000_000, description="training points")
    test_size: PositiveInt = Field(le=10_000_000, description="test points")
    ranges: Ranges = Field(description="each input is uniform on its range")


class Training(Section):
    epochs: PositiveInt = Field(le=100_000_000, description="full-batch Adam steps")
    learning_rate: PositiveFloat
    device: Literal["cpu", "cuda"] = Field(description="cuda: on a GPU, through PyTorch")
    block_size: PositiveInt = Field(description="seeds trained together in one job")


class BatchNorm(Section):
    momentum: float = Field(ge=0, lt=1, description="weight of the OLD running value")
    epsilon: PositiveFloat = Field(description="added to the variance inside the square root")
    correction: int = Field(ge=0, le=1, description="the variance divides by n - correction")


class Ablation(Section):
    arms: Annotated[list[Arm], AfterValidator(_distinct)]
    widths: Annotated[list[Width], AfterValidator(_distinct)] = Field(
        description="those of the grid's widths at which these arms run"
    )


class Measures(Section):
    points: int = Field(ge=2, le=1000, description="log-spaced epochs, first and last included")
    saturation: float = Field(gt=0, lt=1, description="|tanh| above this counts as saturated")


class Dropout(Section):
    rate: float = Field(gt=0, lt=1, description="probability of dropping a hidden value")


Widths = Annotated[list[Width], AfterValidator(_distinct)]


class Horizon(Section):
    epochs: PositiveInt = Field(le=100_000_000)
    widths: Widths


class LearningRates(Section):
    values: Annotated[list[PositiveFloat], AfterValidator(_distinct)]
    widths: Widths


class LabelNoise(Section):
    values: Annotated[list[PositiveFloat], AfterValidator(_distinct)] = Field(
        description="standard deviations of the noise on the training targets"
    )
    widths: Widths


class Minibatches(Section):
    sizes: Annotated[list[PositiveInt], AfterValidator(_distinct)]
    epochs: PositiveInt = Field(le=100_000_000)
    widths: Widths


class DropoutWidths(Section):
    widths: Widths


class Extended(Section):
    """What `snakemake extended` adds, each part at its own widths; an empty list leaves it out."""

    seeds: Seeds
    widths: Widths = Field(description="further widths, with all other settings as they are")
    horizon: Horizon
    learning_rates: LearningRates
    label_noise: LabelNoise
    minibatches: Minibatches
    dropout: DropoutWidths


class Primary(Section):
    width: Width
    threshold: PositiveFloat


class Analysis(Section):
    final_window: PositiveInt = Field(description="epochs whose median is the final loss")
    thresholds: Annotated[list[PositiveFloat], Field(min_length=1), AfterValidator(_distinct)]
    primary: Primary = Field(description="cell and threshold that decide the claims")
    alpha: float = Field(gt=0, lt=0.5)
    equivalence_margin: Ratio
    sensitivity_margins: Annotated[list[Ratio], AfterValidator(_distinct)]
    permutations: int = Field(ge=999, le=10_000_000)
    bootstraps: int = Field(ge=999, le=1_000_000)
    seed: Seed = Field(description="seed of the permutations and bootstraps")

    @model_validator(mode="after")
    def _primary_threshold_is_measured(self):
        if self.primary.threshold not in self.thresholds:
            raise ValueError(
                f"primary.threshold {self.primary.threshold} is not one of analysis.thresholds; "
                "add it there or choose one of them"
            )
        return self


class Mlflow(Section):
    enabled: bool = Field(default=True, description="false: only `make track` writes to MLflow")
    tracking_uri: str = Field(min_length=1)
    experiment: str = Field(min_length=1, max_length=250)
    curve_points: int = Field(ge=2, le=320, description="log-spaced epochs logged a curve")


class DepthProbe(Section):
    width: Width = Field(description="units of every hidden layer")
    depth: int = Field(ge=2, le=1000, description="hidden layers")
    initializations: Annotated[
        list[Literal["unscaled", "fan-in"]], Field(min_length=1), AfterValidator(_distinct)
    ] = Field(description="N(0, 1), and N(0, 1/inputs)")


class DigitsProbe(Section):
    widths: Annotated[list[Width], Field(min_length=1)] = Field(
        description="units of the dense network's hidden layers"
    )
    channels: Annotated[list[Width], Field(min_length=1)] = Field(
        description="channels of the convolutional network's layers"
    )
    validation_share: float = Field(ge=0.05, le=0.5, description="of the 1797 images")
    batch_size: int = Field(ge=2, le=800, description="images a minibatch")
    learning_rate: PositiveFloat
    epochs: PositiveInt = Field(le=100_000, description="budget")
    threshold: PositiveFloat = Field(description="validation loss (cross-entropy) to reach")


class Probes(Section):
    depth: DepthProbe = Field(description="gradients against depth (H4)")
    digits: DigitsProbe = Field(description="dense and convolutional networks on digits (H5)")


class Cell(NamedTuple):
    """One arm at one width."""

    arm: str
    width: int


class Block(NamedTuple):
    """A training job: the seeds of one cell from `start` on, a block size's worth at most."""

    arm: str
    width: int
    start: int


class ExtendedBlock(NamedTuple):
    """A training job of the extended study."""

    variant: str
    arm: str
    width: int
    start: int


class Variant(NamedTuple):
    """A part of the extended study: the setting that it changes, to what, for which cells."""

    kind: str
    value: float | None
    arms: Sequence[str]
    widths: Sequence[int]

    @property
    def name(self) -> str:
        """Its folder: learning_rate_0.003; a kind that changes no setting is its own name."""
        return self.kind if self.value is None else f"{self.kind}_{self.value:g}"


class FigureSettings(Section):
    """The settings that a figure may show."""

    preview: bool = Field(description="mark figures and sentences as a preview, not the study")
    grid: Grid
    original: Original
    analysis: Analysis

    @property
    def grid_seeds(self) -> range:
        """Seeds that enter tests, bands and aggregates."""
        return range(self.grid.seeds.first, self.grid.seeds.first + self.grid.seeds.count)


class Study(FigureSettings):
    """All settings of one study: config.yaml as an object."""

    ablation: Ablation
    dataset: Dataset
    training: Training
    batch_norm: BatchNorm
    dropout: Dropout
    measures: Measures
    extended: Extended
    probes: Probes
    mlflow: Mlflow

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Study":
        """Check `config` (config.yaml as nested dicts) and return it typed.

        Raises ConfigError naming every offending key, what stands there and what is expected.
        """
        try:
            return cls.model_validate(dict(config))
        except ValidationError as error:
            raise ConfigError("\n".join(map(_explain, error.errors()))) from None

    def cells(self) -> list[Cell]:
        """Arm × width of the whole study, the ablation's and the original's among them, once."""
        grid = [Cell(arm, width) for width in self.grid.widths for arm in self.grid.arms]
        ablation = [
            Cell(arm, width)
            for width in self.ablation.widths if width in self.grid.widths
            for arm in self.ablation.arms
        ]  # fmt: skip
        original = [Cell(arm, self.original.width) for arm in PAIR]
        return list(dict.fromkeys(grid + ablation + original))

    def seeds(self, cell: Cell) -> list[int]:
        """The seeds trained in `cell`, ascending: the grid's and, where it lies, the original's."""
        return sorted(set().union(*self._seed_ranges(cell)))

    def blocks(self) -> list[Block]:
        """The training jobs. A block starts at a multiple of the block size, whatever the grid."""
        return [Block(*c, start) for c in self.cells() for start in self._starts(self.seeds(c))]

    def block_seeds(self, block: Block) -> list[int]:
        """The study's seeds in `block`."""
        return self._within(block.start, self._seed_ranges(Cell(block.arm, block.width)))

    def extended_blocks(self) -> list[ExtendedBlock]:
        """The extended study's training jobs."""
        return [
            ExtendedBlock(variant.name, arm, width, start)
            for variant in self.variants() for width in variant.widths for arm in variant.arms
            for start in self._starts(self.extended_seeds)
        ]  # fmt: skip

    def extended_block_seeds(self, start: int) -> list[int]:
        """The extended study's seeds in the block that starts at `start`."""
        return self._within(start, [self.extended_seeds])

    @property
    def extended_seeds(self) -> range:
        """Seeds of the extended study."""
        return range(
            self.extended.seeds.first, self.extended.seeds.first + self.extended.seeds.count
        )

    def dataset_seeds(self, start: int) -> list[int]:
        """Seeds of any cell in the block that starts at `start`: the datasets to make."""
        ranges = {seeds for cell in self.cells() for seeds in self._seed_ranges(cell)}
        return self._within(start, ranges | {self.extended_seeds})

    def variants(self) -> list[Variant]:
        """What the extended study varies, one setting at a time."""
        extended = self.extended
        variants = [
            Variant("width", None, PAIR, [w for w in extended.widths if w not in self.grid.widths]),
            Variant("epochs", extended.horizon.epochs, PAIR, extended.horizon.widths),
            Variant("dropout", None, ("dropout",), extended.dropout.widths),
        ]
        for kind, part in (("learning_rate", extended.learning_rates),
                           ("label_noise", extended.label_noise)):  # fmt: skip
            variants += [Variant(kind, value, PAIR, part.widths) for value in part.values]
        sizes, widths = extended.minibatches.sizes, extended.minibatches.widths
        variants += [Variant("batch_size", size, PAIR, widths) for size in sizes]
        return [variant for variant in variants if variant.widths]

    def run_settings(self, arm: str, variant: Variant | None = None) -> dict[str, Any]:
        """The settings that determine a run of `arm`, beside its width and seed.

        What an arm does not use is left out, so that changing it leaves the arm alone; so is the
        block size, on which no result depends.
        """
        settings: dict[str, Any] = {
            "dataset": self.dataset.model_dump(),
            "training": self.training.model_dump(exclude={"block_size"}),
        }
        if arm in WITH_BATCH_NORM:
            settings["batch_norm"] = self.batch_norm.model_dump()
        if arm == "dropout":
            settings["dropout"] = self.dropout.model_dump()
        match variant:
            case Variant("epochs" | "learning_rate" as kind, value):
                settings["training"][kind] = value
            case Variant("batch_size", value):
                epochs = self.extended.minibatches.epochs
                settings["training"] |= {"batch_size": value, "epochs": epochs}
            case Variant("label_noise", value):
                settings["label_noise"] = value
        return settings

    def _starts(self, seeds: Iterable[int]) -> list[int]:
        size = self.training.block_size
        return sorted({seed - seed % size for seed in seeds})

    def _seed_ranges(self, cell: Cell) -> list[range]:
        """The seeds of `cell` as ranges: a study of a million runs asks for them block by block."""
        arm, width = cell
        ranges = []
        if width in self.grid.widths and (
            arm in self.grid.arms or (arm in self.ablation.arms and width in self.ablation.widths)
        ):
            ranges.append(self.grid_seeds)
        if width == self.original.width and arm in PAIR:
            ranges.append(range(self.original.seed, self.original.seed + 1))
        return ranges

    def _within(self, start: int, ranges: Iterable[range]) -> list[int]:
        """The seeds of a block that lie in one of `ranges`."""
        end = start + self.training.block_size
        clipped = (range(max(seeds.start, start), min(seeds.stop, end)) for seeds in ranges)
        return sorted(set().union(*clipped))


def retyped(value: Any) -> Any:
    """Values of `--config key=value`, where Snakemake leaves nested ones as texts, as YAML says."""
    if isinstance(value, Mapping):
        return {key: retyped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [retyped(item) for item in value]
    return yaml.safe_load(value) if isinstance(value, str) else value


def schema() -> dict:
    """The JSON schema of config.yaml, closed at every level."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of a bnstudy study",
        **Study.model_json_schema(),
    }


def _explain(error: Mapping[str, Any]) -> str:
    """One line on one problem: the key, what stands there, what is expected."""
    place = _path(error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key{_suggestion(error['loc'])}"
    if error["type"] == "missing":
        return f"{place}: missing; add it (config.yaml in the repository shows every key)"
    message = error["msg"].removeprefix("Value error, ")
    return f"{place} is {error['input']!r}: {message}{_yaml_hint(error['input'])}"


def _path(location: tuple) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".") or "config"


def _suggestion(location: tuple) -> str:
    *parents, key = location
    section = Study
    for parent in parents:
        section = section.model_fields[parent].annotation
    known = list(section.model_fields)
    close = difflib.get_close_matches(str(key), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return f"; {hint}"


def _yaml_hint(value: Any) -> str:
    """What to write instead, where YAML read a number such as 1e-3 as a text."""
    if not isinstance(value, str):
        return ""
    for number in (int, float):
        try:
            return f" (YAML reads it as a text; write {number(value)!r})"
        except ValueError:
            continue
    return ""


if __name__ == "__main__":
    print("# Generated by `make schema` from src/bnstudy/study.py; do not edit.")
    print(yaml.safe_dump(schema(), sort_keys=False, width=100), end="")
