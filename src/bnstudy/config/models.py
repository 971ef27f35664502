"""The study's settings, typed and checked, and the grid of runs they describe.

One source of truth: these classes refuse a bad config.yaml, and the JSON schema that editors use
(workflow/schemas/config.schema.yaml) is generated from them by `python -m bnstudy.study`.
"""

import difflib
import math
import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
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
    repeated = sorted(value for value, count in Counter(values).items() if count > 1)
    if repeated:
        raise ValueError(
            f"{', '.join(map(str, repeated))} stands there more than once; name it once"
        )
    return values


def _told_apart(values: list[float]) -> list[float]:
    """Columns and folders are named by six digits of a value."""
    names = Counter(f"{value:g}" for value in values)
    same = [name for name, count in names.items() if count > 1]
    if same:
        raise ValueError(f"more than one value is {same[0]} to six digits; name one of them")
    return values


def _ascending(bounds: list[float]) -> list[float]:
    low, high = bounds
    if not low < high:
        raise ValueError(f"the lower end {low} must be below the upper end {high}")
    return bounds


# Targets are squares of the inputs, losses squares of the targets.
Input = Annotated[float, Field(ge=-1e6, le=1e6)]
Range = Annotated[list[Input], Field(min_length=2, max_length=2), AfterValidator(_ascending)]
Values = Annotated[list[PositiveFloat], AfterValidator(_distinct), AfterValidator(_told_apart)]


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
    values: Values
    widths: Widths


class LabelNoise(Section):
    values: Values = Field(description="standard deviations of the noise on the training targets")
    widths: Widths


class Minibatches(Section):
    sizes: Annotated[
        list[Annotated[int, Field(ge=2)]], AfterValidator(_distinct), AfterValidator(_told_apart)
    ]
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
    thresholds: Annotated[Values, Field(min_length=1, max_length=100)]
    primary: Primary = Field(description="cell and threshold that decide the claims")
    alpha: float = Field(ge=1e-6, lt=0.5)
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

    @model_validator(mode="after")
    def _margins_differ(self):
        if self.equivalence_margin in self.sensitivity_margins:
            raise ValueError(
                f"sensitivity_margins holds {self.equivalence_margin}, the equivalence_margin; "
                "take it out there"
            )
        return self


def _within_the_study(uri: str) -> str:
    """A server, or an SQLite file below the study's directory."""
    if re.fullmatch(r"(https?|(postgresql|mysql|mssql)(\+\w+)?)://[^\s/]\S*", uri):
        return uri
    file = re.fullmatch(r"sqlite:///([\w.-][\w. /-]*)", uri)
    if not file:
        raise ValueError(
            "neither a server (https://…) nor a file in the study's directory (sqlite:///mlflow.db)"
            "; for a database elsewhere on this machine set MLFLOW_TRACKING_URI"
        )
    if ".." in file[1].split("/"):
        raise ValueError("it leaves the study's directory; name a file in it: sqlite:///mlflow.db")
    return uri


def _nameable(name: str) -> str:
    """A name that can be shown on one line, and can name a folder once `/` and the like are out."""
    if not name.isprintable() or not re.search(r"\w", name):
        raise ValueError("a name needs a letter or digit, and stands on one line")
    return name


class Mlflow(Section):
    enabled: bool = Field(default=True, description="false: only `make track` writes to MLflow")
    tracking_uri: Annotated[str, AfterValidator(_within_the_study)] = Field(
        description="a server's address, or an SQLite file in the study's directory"
    )
    experiment: Annotated[str, AfterValidator(_nameable)] = Field(min_length=1, max_length=250)
    curve_points: int = Field(ge=2, le=320, description="log-spaced epochs logged a curve")


class DepthProbe(Section):
    width: Width = Field(description="units of every hidden layer")
    depth: int = Field(ge=2, le=1000, description="hidden layers")
    initializations: Annotated[
        list[Literal["unscaled", "fan-in"]], Field(min_length=1), AfterValidator(_distinct)
    ] = Field(description="N(0, 1), and N(0, 1/inputs)")

    @model_validator(mode="after")
    def _fits(self):
        _refuse_too_many(self.width**2 * self.depth, "weights (width² × depth)")
        return self


class DigitsProbe(Section):
    widths: Annotated[list[Width], Field(min_length=1, max_length=20)] = Field(
        description="units of the dense network's hidden layers"
    )
    channels: Annotated[list[Width], Field(min_length=1, max_length=20)] = Field(
        description="channels of the convolutional network's layers"
    )
    validation_share: float = Field(ge=0.05, le=0.5, description="of the 1797 images")
    batch_size: int = Field(ge=2, le=800, description="images a minibatch")
    learning_rate: PositiveFloat
    epochs: PositiveInt = Field(le=100_000, description="budget")
    threshold: PositiveFloat = Field(description="validation loss (cross-entropy) to reach")

    @model_validator(mode="after")
    def _fits(self):
        dense = sum(map(math.prod, zip([64, *self.widths], [*self.widths, 10], strict=True)))
        layers = zip([1, *self.channels], self.channels, strict=False)
        _refuse_too_many(dense, "weights of the dense network (widths)")
        _refuse_too_many(9 * sum(map(math.prod, layers)), "weights of the convolutional (channels)")
        return self


def _refuse_too_many(weights: int, what: str) -> None:
    if weights > 100_000_000:
        raise ValueError(f"{weights:,} {what} do not fit the memory of a job; 100,000,000 do")


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

    @model_validator(mode="after")
    def _minibatches_are_parts(self):
        whole = self.dataset.train_size
        if too_large := [size for size in self.extended.minibatches.sizes if size > whole]:
            raise ValueError(
                f"extended.minibatches.sizes holds {too_large[0]}, more than the "
                f"dataset.train_size {whole}"
            )
        return self

    @model_validator(mode="after")
    def _jobs_can_be_planned_and_held(self):
        """Limits that keep a slip of the hand from filling the memory; far above real studies."""
        size = self.training.block_size
        arms = {*self.grid.arms, *self.ablation.arms}
        jobs = math.ceil(self.grid.seeds.count / size) * len(arms) * len(self.grid.widths)
        cells = sum(len(variant.arms) * len(variant.widths) for variant in self.variants())
        jobs += math.ceil(self.extended.seeds.count / size) * cells
        if jobs > 200_000:
            raise ValueError(
                f"some {jobs:,} training jobs, more than the 200,000 that can be planned; "
                "raise training.block_size, or lower grid.seeds.count or grid.widths"
            )
        block = min(size, max(self.grid.seeds.count, self.extended.seeds.count))
        epochs = max(
            self.training.epochs, self.extended.horizon.epochs, self.extended.minibatches.epochs
        )
        for rows, keys in (
            (block * epochs,
             "training.epochs, extended.horizon.epochs, extended.minibatches.epochs"),
            (block * (self.dataset.train_size + self.dataset.test_size),
             "dataset.train_size, dataset.test_size"),
        ):  # fmt: skip
            if rows > 200_000_000:
                raise ValueError(
                    f"a block of {block:,} seeds has {rows:,} rows, more than the 200,000,000 that "
                    f"fit the memory of a job; lower training.block_size or one of {keys}"
                )
        return self

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Study":
        """Check `config` (config.yaml as nested dicts) and return it typed.

        Raises ConfigError naming every offending key, what stands there and what is expected.
        """
        try:
            return cls.model_validate(dict(config))
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
            lines = [_explain(problem) for problem in problems[:20]]
            more = [f"and {len(problems) - 20} more"] if len(problems) > 20 else []
            raise ConfigError("\n".join(lines + more)) from None

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
        """What the extended study varies, one setting at a time; not what the grid has already."""
        extended = self.extended
        variants = [
            Variant("width", None, PAIR, extended.widths),
            Variant("epochs", extended.horizon.epochs, PAIR, extended.horizon.widths),
            Variant("dropout", None, ("dropout",), extended.dropout.widths),
        ]
        for kind, part in (("learning_rate", extended.learning_rates),
                           ("label_noise", extended.label_noise)):  # fmt: skip
            variants += [Variant(kind, value, PAIR, part.widths) for value in part.values]
        sizes, widths = extended.minibatches.sizes, extended.minibatches.widths
        variants += [Variant("batch_size", size, PAIR, widths) for size in sizes]
        fresh = (v._replace(widths=[w for w in v.widths if self._adds(v, w)]) for v in variants)
        return [variant for variant in fresh if variant.widths]

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

    def _adds(self, variant: Variant, width: int) -> bool:
        """Whether a variant has a run at `width` that the grid does not have."""
        return any(
            self.run_settings(arm, variant) != self.run_settings(arm)
            or self.grid_seeds not in self._seed_ranges(Cell(arm, width))
            for arm in variant.arms
        )

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
    if not isinstance(value, str):
        return value
    try:
        return yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):  # a text after all; what expects another type refuses it
        return value


def check_yaml(path: str | Path) -> None:
    """Refuse what YAML readers pass over in silence, or stumble over.

    Raises ConfigError naming the file, the line and the key: a key that stands there twice (the
    last would win), an alias within what it names, no YAML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        _check_node(yaml.compose(text, yaml.SafeLoader), path, [], set())
        yaml.safe_load(text)  # tags that YAML does not know, dates that do not exist
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: no UTF-8 text ({error.reason}); save it as UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError) as error:
        cause = re.sub(r'in "<(unicode|byte) string>", ', "in ", str(error))
        raise ConfigError(f"{path}: no YAML ({' '.join(cause.split())})") from None


def _check_node(node: yaml.Node | None, path: str | Path, above: list, seen: set) -> None:
    if any(node is other for other in above):
        line = node.start_mark.line + 1
        raise ConfigError(f"{path}, line {line}: an alias stands within what it names")
    if node is None or id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    first: dict[str, int] = {}
    for key, value in _children(node):
        if isinstance(key, yaml.ScalarNode):
            line = key.start_mark.line + 1
            if key.value in first and key.value != "<<":
                raise ConfigError(
                    f"{path}, line {line}: {key.value} stands there twice (first in line "
                    f"{first[key.value]}); leave one of them out"
                )
            first[key.value] = line
        _check_node(value, path, [*above, node], seen)


def _children(node: yaml.Node) -> Iterator[tuple[yaml.Node | None, yaml.Node]]:
    """(key, value) of a mapping's node; (None, item) of a list's."""
    return (
        iter(node.value) if isinstance(node, yaml.MappingNode) else ((None, v) for v in node.value)
    )


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
    if error["type"] == "invalid_key":
        within, key = _path(error["loc"][:-1]), _SHORT.repr(error["input"])
        return f"{within}: {key} is no text, so no key{_suggestion(error['loc'])}"
    if isinstance(error["input"], Mapping):
        return f"{place}: {message}"  # the whole section would hide what is wrong with it
    return f"{place} is {_SHORT.repr(error['input'])}: {message}{_yaml_hint(error['input'])}"


_SHORT = reprlib.Repr()  # of whatever stands there, however long or deep
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxstring, _SHORT.maxother = 3, 12, 120, 120


def _path(location: tuple) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{_visible(part)}" for part in location)
    return "".join(parts).removeprefix(".") or "config"


def _visible(key: str) -> str:
    """A key as it stands there; in quotes where it would not be seen, or would break the line."""
    return key if key and key.isprintable() and key.strip() == key else repr(key)


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
