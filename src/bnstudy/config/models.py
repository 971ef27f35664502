"""The study's settings, typed and checked.

One source of truth: these classes refuse a bad config.yaml, and the JSON schema that editors use
(workflow/schemas/config.schema.yaml) is generated from them by `make schema`. Members (arms, tasks,
optimizers, diagnostics) bring settings of their own; see `bnstudy.config.members`.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache, partial
from itertools import product
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from bnstudy.config import members
from bnstudy.config.cell import ARTICLE, UNTUNED
from bnstudy.config.checks import MEMBER_SETTINGS, NESTED, ConfigError, explain, key_path, unknown

T = TypeVar("T")

MOST_JOBS, MOST_ROWS, MOST_WEIGHTS = 200_000, 200_000_000, 100_000_000


def _distinct(values: list[T]) -> list[T]:
    repeated = sorted(str(value) for value, count in Counter(values).items() if count > 1)
    if repeated:
        raise ValueError(f"{', '.join(repeated)} is duplicated; name it once")
    return values


def _told_apart(values: list[float]) -> list[float]:
    """Columns are named by six digits of a value."""
    names = Counter(f"{value:g}" for value in values)
    same = [name for name, count in names.items() if count > 1]
    if same:
        raise ValueError(f"more than one value is {same[0]} to six digits; name one of them")
    return values


def _shared(ours: range, theirs: range) -> int | None:
    """The first seed that both hold."""
    first = max(ours.start, theirs.start)
    return first if first < min(ours.stop, theirs.stop) else None


def _ascending(bounds: list[float]) -> list[float]:
    low, high = bounds
    if not low < high:
        raise ValueError(f"the lower end {low} must be below the upper end {high}")
    return bounds


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _full_or_number(value: Any) -> Any:
    """One complaint instead of one for each kind of value."""
    if value != "full" and (type(value) is not int or value < 2):
        raise ValueError("neither full nor a whole number of at least 2")
    return value


def _a_member(kind: str, name: str) -> str:
    known, folder = members.names(kind), f"src/bnstudy/{members.KINDS[kind]}/"
    if name not in known:
        raise ValueError(f"unknown; {unknown(name, known)} (a file in {folder} makes one)")
    return name


def _refuse_too_many(weights: int, what: str) -> None:
    if weights > MOST_WEIGHTS:
        raise ValueError(f"{weights:,} {what} do not fit the memory of a job; {MOST_WEIGHTS:,} do")


Width = Annotated[int, Field(gt=0, le=100_000)]
Layers = Annotated[list[Width], Field(min_length=1, max_length=20)]
Epochs = Annotated[int, Field(gt=0, le=100_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Ratio = Annotated[float, Field(gt=1, description="a ratio above 1")]
BatchSize = Annotated[
    Literal["full"] | Annotated[int, Field(ge=2)], BeforeValidator(_full_or_number)
]
Task = Annotated[str, AfterValidator(partial(_a_member, "tasks"))]
Arm = Annotated[str, AfterValidator(partial(_a_member, "arms"))]
Optimizer = Annotated[str, AfterValidator(partial(_a_member, "optimizers"))]
Inputs = Literal["plain", "shifted", "stretched"]
Schedule = Literal["constant", "cosine"]
# Targets are squares of the inputs, losses squares of the targets.
Bound = Annotated[float, Field(ge=-1e6, le=1e6)]
Range = Annotated[list[Bound], Field(min_length=2, max_length=2), AfterValidator(_ascending)]
Values = Annotated[list[PositiveFloat], AfterValidator(_distinct), AfterValidator(_told_apart)]
# One value or a list of them, in either case a list here.
Choices = Annotated[
    list[T],
    BeforeValidator(_listed, json_schema_input_type=T | list[T]),
    Field(min_length=1),
    AfterValidator(_distinct),
]


class Section(BaseModel):
    """A part of config.yaml: unknown keys and wrong types are refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Seeds(Section):
    first: Seed = Field(description="first seed")
    count: PositiveInt = Field(description="number of consecutive seeds", le=1_000_000)

    @model_validator(mode="after")
    def _within_generator_range(self) -> "Seeds":
        if self.first + self.count > 2**32:
            raise ValueError("first + count must not exceed 2**32, the generators' seed range")
        return self

    @property
    def range(self) -> range:
        """The seeds, ascending."""
        return range(self.first, self.first + self.count)


class SeedSets(Section):
    study: Seeds = Field(description="seeds that decide; never used to choose a setting")
    tuning: Seeds = Field(description="seeds that choose settings; never in a test")

    @model_validator(mode="after")
    def _disjoint(self) -> "SeedSets":
        if (seed := _shared(self.study.range, self.tuning.range)) is not None:
            raise ValueError(
                f"tuning and study both hold seed {seed}; a seed that chose a setting must not "
                "test it: move one of them"
            )
        return self


def _kind_of_seeds(value: Any) -> str | None:
    if value in ("study", "tuning"):
        return "set"
    return NESTED if isinstance(value, (Mapping, Seeds)) else None


# Seeds of an experiment.
SeedChoice = Annotated[
    Annotated[Literal["study", "tuning"], Tag("set")] | Annotated[Seeds, Tag(NESTED)],
    Discriminator(
        _kind_of_seeds,
        custom_error_type="seeds",
        custom_error_message="neither study nor tuning nor {first: …, count: …}",
    ),
    Field(description="study, tuning, or seeds of its own"),
]


class Defaults(Section):
    """The settings of a run that an experiment does not name."""

    task: Task
    inputs: Inputs = Field(description="plain, shifted by 3, or stretched by 10, 1, 0.1")
    width: Width = Field(description="hidden units")
    optimizer: Optimizer
    learning_rate: PositiveFloat
    schedule: Schedule = Field(description="constant, or cosine to zero over the budget")
    batch_size: BatchSize = Field(description="samples per step; full: all training points")
    epochs: Epochs | None = Field(default=None, description="budget, in passes over the data")
    steps: Epochs | None = Field(default=None, description="budget, in optimizer steps")
    label_noise: NonNegativeFloat = Field(description="standard deviation, on training targets")

    @model_validator(mode="after")
    def _one_budget(self) -> "Defaults":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("name one budget, epochs or steps")
        return self


class Experiment(Section):
    """A product of lists of settings, over seeds. What is not named is as in `defaults`."""

    seeds: SeedChoice = "study"
    tuned_by: str | None = Field(
        default=None,
        description="an experiment on other seeds whose runs choose learning rate and schedule, "
        "for each arm and each of analysis.objectives",
    )
    tuned_for: Choices[str] | None = Field(
        default=None, description="these of analysis.objectives only"
    )
    tuned_rank: PositiveInt = Field(
        default=1, description="1: the best of what was tried; 2: the runner-up, and so on"
    )
    arm: Choices[Arm] = Field(description="network variants")
    task: Choices[Task] | None = None
    inputs: Choices[Inputs] | None = None
    width: Choices[Width] | None = None
    optimizer: Choices[Optimizer] | None = None
    learning_rate: Choices[PositiveFloat] | None = None
    schedule: Choices[Schedule] | None = None
    batch_size: Choices[BatchSize] | None = None
    epochs: Choices[Epochs] | None = None
    steps: Choices[Epochs] | None = None
    label_noise: Choices[NonNegativeFloat] | None = None

    @model_validator(mode="after")
    def _one_budget(self) -> "Experiment":
        if self.epochs is not None and self.steps is not None:
            raise ValueError("name one budget, epochs or steps")
        if self.tuned_by and (self.learning_rate or self.schedule):
            raise ValueError("tuned_by chooses learning_rate and schedule; name none here")
        if self.tuned_rank != 1 and not self.tuned_by:
            raise ValueError("tuned_rank says which choice of tuned_by; name that as well")
        if self.tuned_for and not self.tuned_by:
            raise ValueError("tuned_for says what tuned_by chooses for; name that as well")
        return self

    def size(self, objectives: list[str]) -> int:
        """Number of cells."""
        return math.prod(len(values) for values in self.named(objectives).values())

    def named(self, objectives: list[str]) -> dict[str, list[Any]]:
        """The settings that it names, a list of values each."""
        named = self.model_dump(exclude={"seeds", "tuned_by", "tuned_rank"}, exclude_none=True)
        tuned = {"tuned_for": self.tuned_for or objectives, "tuned_rank": [self.tuned_rank]}
        return dict(sorted((named | (tuned if self.tuned_by else {})).items()))

    def combinations(self, defaults: Defaults, objectives: list[str]) -> Iterator[dict[str, Any]]:
        """The settings of each of its cells, those of `defaults` among them."""
        named = self.named(objectives)
        base = defaults.model_dump() | UNTUNED
        if "epochs" in named or "steps" in named:
            base |= {"epochs": None, "steps": None}
        if self.tuned_by:
            base |= {"learning_rate": None, "schedule": None}
        for values in product(*named.values()):
            yield base | dict(zip(named, values, strict=True))


class Depth(Section):
    """The experiment `depth`: gradients at initialisation in deep tanh stacks."""

    seeds: SeedChoice = "study"
    width: Width = Field(description="units of every hidden layer")
    depth: Choices[Annotated[int, Field(ge=2, le=1000)]] = Field(
        description="hidden layers; the deepest stacks decide"
    )
    scales: Choices[PositiveFloat] = Field(
        description="σ_w of weights from N(0, σ_w²/inputs), beside the article's N(0, 1)"
    )

    @model_validator(mode="after")
    def _fits(self) -> "Depth":
        _refuse_too_many(self.width**2 * max(self.depth), "weights (width² × depth)")
        return self


class DepthTraining(Section):
    """The experiment `depth_training`: which deep tanh stacks train."""

    seeds: SeedChoice = "study"
    width: Width = Field(description="units of every hidden layer")
    depth: int = Field(ge=2, le=1000, description="hidden layers")
    scales: Choices[PositiveFloat] = Field(description="σ_w of weights from N(0, σ_w²/inputs)")
    learning_rates: Annotated[Values, Field(min_length=1)] = Field(description="of Adam")
    points: int = Field(ge=2, le=10_000, description="training points")
    epochs: Epochs = Field(description="budget")
    threshold: PositiveFloat = Field(description="train loss per sample to reach")

    @model_validator(mode="after")
    def _fits(self) -> "DepthTraining":
        _refuse_too_many(self.width**2 * self.depth, "weights (width² × depth)")
        return self


class Digits(Section):
    """The experiments `digits`, on 8 × 8 digits, and `mnist1d`, on MNIST-1D: a dense and a
    convolutional network."""

    seeds: SeedChoice = "study"
    widths: Layers = Field(description="units of the dense network's hidden layers")
    channels: Layers = Field(description="channels of the convolutional network's layers")
    validation_share: float = Field(ge=0.05, le=0.5, description="of all images")
    batch_size: int = Field(ge=2, le=800, description="images per minibatch")
    learning_rates: Annotated[Values, Field(min_length=2)] = Field(
        description="the tuning seeds choose one of them for each network and arm"
    )
    epochs: PositiveInt = Field(le=100_000, description="budget")
    threshold: float = Field(
        gt=0, lt=2.3, description="validation loss (cross-entropy) to reach; guessing leaves 2.3"
    )

    @model_validator(mode="after")
    def _fits(self) -> "Digits":
        dense = sum(map(math.prod, zip([64, *self.widths], [*self.widths, 10], strict=True)))
        layers = zip([1, *self.channels], self.channels, strict=False)
        _refuse_too_many(dense, "weights of the dense network (widths)")
        _refuse_too_many(9 * sum(map(math.prod, layers)), "weights of the convolutional (channels)")
        return self


class Curvature(Section):
    """The experiment `curvature`: how well conditioned the loss is at saved networks of others."""

    experiments: Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="experiments whose saved networks are looked at"
    )
    seeds: SeedChoice = "study"
    width: int = Field(gt=0, le=300, description="of the networks; the cost grows as its cube")
    points: int = Field(
        ge=2, le=1000, description="saved epochs, first and last included, beside the untrained"
    )


ExperimentName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=60)]


def _or_null(schema: dict[str, Any]) -> None:
    """In the schema for editors an experiment may be null."""
    schema["additionalProperties"] = {"anyOf": [schema["additionalProperties"], {"type": "null"}]}


class Experiments(BaseModel):
    """Experiments by name. Some train other networks, one looks at saved ones; the rest are
    products of settings. One that is null is absent: so a file of changes takes it away."""

    model_config = ConfigDict(
        extra="allow", strict=True, frozen=True, allow_inf_nan=False, json_schema_extra=_or_null
    )
    __pydantic_extra__: dict[ExperimentName, Experiment]
    depth: Depth | None = None
    depth_training: DepthTraining | None = None
    digits: Digits | None = None
    mnist1d: Digits | None = None
    curvature: Curvature | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_absent_ones(cls, given: Any) -> Any:
        named = isinstance(given, Mapping)
        return {name: one for name, one in given.items() if one is not None} if named else given

    @property
    def training(self) -> dict[str, Experiment]:
        """Those whose runs are cells, in the order of config.yaml."""
        return self.__pydantic_extra__ or {}

    @property
    def names(self) -> list[str]:
        """All of them."""
        own = [name for name in type(self).model_fields if getattr(self, name) is not None]
        return [*self.training, *own]


class Ranges(Section):
    r: Range
    g: Range
    b: Range


class Dataset(Section):
    train_size: int = Field(ge=2, le=10_000_000, description="training points")
    test_size: PositiveInt = Field(le=10_000_000, description="test points")
    ranges: Ranges = Field(description="each input is uniform on its range")


class Training(Section):
    device: Literal["cpu", "cuda"] = Field(description="cuda: on a GPU, through PyTorch")
    block_size: PositiveInt = Field(le=1000, description="seeds trained together in one job")


class BatchNorm(Section):
    momentum: float = Field(ge=0, lt=1, description="weight of the OLD running value")
    epsilon: PositiveFloat = Field(description="added to the variance inside the square root")
    correction: int = Field(ge=0, le=1, description="the variance divides by n - correction")


class Snapshots(Section):
    points: int = Field(ge=2, le=1000, description="log-spaced epochs, first and last included")


class Primary(Section):
    width: Width
    threshold: PositiveFloat
    strict_threshold: PositiveFloat = Field(description="a second one, for tuned runs")


class Minibatches(Section):
    width: Width
    batch_size: int = Field(ge=2)


class Tasks(Section):
    width: Width
    epochs: Epochs


class Margins(Section):
    epochs: Ratio
    losses: Ratio
    features: Ratio
    gradients: Ratio = Field(description="of the factor per layer")


class Analysis(Section):
    final_window: PositiveInt = Field(description="epochs whose median is the final loss")
    thresholds: Annotated[Values, Field(min_length=1, max_length=100)]
    objectives: Annotated[list[str], AfterValidator(_distinct)] = Field(
        description="what a learning rate is chosen for: final_test_loss, epochs_to_<threshold>"
    )
    primary: Primary = Field(description="cell and thresholds that decide the claims")
    minibatches: Minibatches = Field(description="the cell that decides them for minibatches")
    tasks: Tasks = Field(description="the cells that decide them over tasks and kinds of inputs")
    alpha: float = Field(ge=1e-6, lt=0.5)
    margins: Margins = Field(description="ratios that count as the same")
    permutations: int = Field(ge=999, le=10_000_000)
    bootstraps: int = Field(ge=999, le=1_000_000)
    seed: Seed = Field(description="seed of the permutations and bootstraps")

    @model_validator(mode="after")
    def _settings_go_together(self) -> "Analysis":
        for name in ("threshold", "strict_threshold"):
            if (value := getattr(self.primary, name)) not in self.thresholds:
                raise ValueError(
                    f"primary.{name} {value} is not one of analysis.thresholds; add it there or "
                    "choose one of them"
                )
        known = ["final_test_loss", *(f"epochs_to_{value:g}" for value in self.thresholds)]
        for index, name in enumerate(self.objectives):
            if name not in known:
                raise ValueError(
                    f"objectives[{index}] is {name!r}, unknown; {unknown(name, known)}"
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
    """A name that fits on one line, and can name a folder once `/` and the like are replaced."""
    if not name.isprintable() or not re.search(r"\w", name):
        raise ValueError("a name needs a letter or digit, and must fit on one line")
    return name


class Mlflow(Section):
    enabled: bool = Field(default=True, description="false: only `make track` writes to MLflow")
    tracking_uri: Annotated[str, AfterValidator(_within_the_study)] = Field(
        description="a server's address, or an SQLite file in the study's directory"
    )
    experiment: Annotated[str, AfterValidator(_nameable)] = Field(min_length=1, max_length=250)
    curve_points: int = Field(ge=2, le=320, description="log-spaced epochs logged per curve")


@cache
def _settings_model(kind: str, name: str) -> type[Section]:
    """The settings of one member, from the SETTINGS that its module declares."""
    declared = members.declared(kind, name).get("SETTINGS", {})
    fields: dict[str, Any] = {
        key: (type(options["default"]), Field(**options)) for key, options in declared.items()
    }
    return create_model(name, __base__=Section, **fields)


def _member_field(kind: str) -> Any:
    description = f"settings of single {kind}, by name"
    return Field(default_factory=dict, validate_default=True, description=description)


MemberSettings = dict[str, dict[str, Any]]


class StudySettings(Section):
    """What analysis and report need to know of a study."""

    preview: bool = Field(description="mark figures and sentences as a preview, not the study")
    seeds: SeedSets
    defaults: Defaults
    default_experiments: Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)] = (
        Field(description="what `snakemake` runs; `snakemake extended` runs all experiments")
    )
    analysis: Analysis
    dataset: Dataset

    @property
    def study_seeds(self) -> range:
        """Seeds that enter tests, bands and aggregates."""
        return self.seeds.study.range

    @property
    def reference(self) -> dict[str, Any]:
        """The settings beside arm and width that `defaults` give, the budget in epochs."""
        settings = self.resolved(self.defaults.model_dump() | UNTUNED, "defaults")
        return {name: settings[name] for name in ARTICLE}

    def resolved(self, settings: Mapping[str, Any], place: str) -> dict[str, Any]:
        """`settings` with the budget in epochs, and a batch of all points called `full`.

        Raises ValueError, naming `place`, where a batch is larger than the training set, or steps
        are not a whole number of epochs.
        """
        points, size = self.dataset.train_size, settings["batch_size"]
        if size != "full" and size > points:
            raise ValueError(
                f"{place}.batch_size is {size}, more than the dataset.train_size {points}"
            )
        per_epoch = 1 if size == "full" else math.ceil(points / size)
        epochs, steps = settings["epochs"], settings["steps"]
        if epochs is None:
            epochs, rest = divmod(steps, per_epoch)
            if rest:
                raise ValueError(
                    f"{place}.steps is {steps}, not a whole number of epochs of {per_epoch} "
                    f"steps (batch_size {size}); write {max(epochs, 1) * per_epoch}"
                )
        size = "full" if size == points else size
        return {**settings, "batch_size": size, "epochs": epochs}


def _difference(wanted: Mapping[str, Any], offered: list[dict[str, Any]]) -> str:
    """Of what is `wanted` and not `offered`, what keeps it from the nearest that is."""
    differing = [{n: v for n, v in wanted.items() if one[n] != v} for one in offered]
    return ", ".join(f"{name} {value}" for name, value in min(differing, key=len).items())


class Study(StudySettings):
    """All settings of one study: config.yaml as an object."""

    experiments: Experiments
    training: Training
    batch_norm: BatchNorm
    snapshots: Snapshots
    arms: MemberSettings = _member_field("arms")
    tasks: MemberSettings = _member_field("tasks")
    optimizers: MemberSettings = _member_field("optimizers")
    diagnostics: MemberSettings = _member_field("diagnostics")
    mlflow: Mlflow

    @field_validator(*MEMBER_SETTINGS)
    @classmethod
    def _settings_of_members(cls, given: MemberSettings, info: ValidationInfo) -> MemberSettings:
        """Check what is given for members of a kind; fill in the defaults of all others."""
        kind = str(info.field_name)
        known = members.names(kind)
        for name in given:
            if name not in known:
                raise ValueError(f"{key_path((name,))}: unknown; {unknown(name, known)}")
        found = {}
        for name in known:
            model = _settings_model(kind, name)
            try:
                found[name] = model.model_validate(given.get(name, {})).model_dump()
            except ValidationError as error:
                lines = (explain(problem, model) for problem in error.errors(include_url=False))
                raise ValueError("; ".join(f"{name}.{line}" for line in lines)) from None
        return found

    @model_validator(mode="after")
    def _settings_go_together(self) -> "Study":
        known = self.experiments.names
        for index, name in enumerate(self.default_experiments):
            if name not in known:
                remedy = unknown(name, known)
                raise ValueError(
                    f"default_experiments[{index}] is {name!r}, no experiment; {remedy}"
                )
        self.resolved(self.defaults.model_dump(), "defaults")
        for name, experiment in self.experiments.training.items():
            if experiment.size(self.analysis.objectives) <= MOST_JOBS:
                for settings in self.combinations(experiment):
                    self.resolved(settings, f"experiments.{name}")
            if experiment.tuned_by:
                self._check_tuning(name, experiment)
        for name in ("digits", "mnist1d"):
            own = getattr(self.experiments, name)
            if own and (seed := _shared(self.seeds_of(own), self.seeds.tuning.range)) is not None:
                raise ValueError(
                    f"experiments.{name}.seeds and seeds.tuning both hold seed {seed}; a seed that "
                    "chose a rate must not test it: move one of them"
                )
        curvature, known = self.experiments.curvature, list(self.experiments.training)
        for index, name in enumerate(curvature.experiments if curvature else []):
            if name not in known:
                raise ValueError(
                    f"experiments.curvature.experiments[{index}] is {name!r}, no experiment with "
                    f"saved networks; {unknown(name, known)}"
                )
        self._check_sources()
        return self

    def _check_sources(self) -> None:
        """Whether the same was tried for each tuned cell, whoever names it."""
        training = self.experiments.training
        sources: dict[tuple[Any, ...], str] = {}
        for name, experiment in training.items():
            for settings in self.combinations(experiment) if experiment.tuned_by else ():
                cell = tuple(sorted(self.resolved(settings, name).items()))
                ours = str(experiment.tuned_by)
                theirs = sources.setdefault(cell, ours)
                if self._tried(training[theirs]) != self._tried(training[ours]):
                    raise ValueError(
                        f"experiments.{name}.tuned_by is {ours!r}, but {theirs} tunes a cell of "
                        "it as well, with other rates, schedules or seeds; name one of them in both"
                    )

    def _tried(self, tuning: Experiment) -> tuple[Any, ...]:
        """What an experiment tries for each cell that it tunes, and on which seeds."""
        return tuning.learning_rate, tuning.schedule, self.seeds_of(tuning)

    def _check_tuning(self, name: str, experiment: Experiment) -> None:
        """Whether the experiment that tunes another one can."""
        place, source = f"experiments.{name}.tuned_by", experiment.tuned_by or ""
        known = [n for n, other in self.experiments.training.items() if not other.tuned_by]
        if source not in known:
            raise ValueError(f"{place} is {source!r}, no experiment; {unknown(source, known)}")
        tuning = self.experiments.training[source]
        if (seed := _shared(self.seeds_of(experiment), self.seeds_of(tuning))) is not None:
            raise ValueError(
                f"{place}: {name} and {source} both hold seed {seed}; a seed that chose a setting "
                "must not test it: give one of them other seeds"
            )
        if not tuning.learning_rate and not tuning.schedule:
            raise ValueError(f"{place}: {source} names no learning_rate and no schedule to choose")
        if not self.analysis.objectives:
            raise ValueError(f"{place}: analysis.objectives names nothing to choose for")
        for index, objective in enumerate(experiment.tuned_for or []):
            if objective not in (known := self.analysis.objectives):
                raise ValueError(
                    f"experiments.{name}.tuned_for[{index}] is {objective!r}, none of "
                    f"analysis.objectives; {unknown(objective, known)}"
                )
        free = {"learning_rate": None, "schedule": None, **UNTUNED}
        offered = [self.resolved(c, place) | free for c in self.combinations(tuning)]
        for settings in self.combinations(experiment):
            if (wanted := self.resolved(settings, place) | free) not in offered:
                raise ValueError(
                    f"{place}: {source} has no runs with {_difference(wanted, offered)}"
                )
        tried = math.prod(len(values or [0]) for values in (tuning.learning_rate, tuning.schedule))
        if experiment.tuned_rank > tried:
            raise ValueError(
                f"experiments.{name}.tuned_rank is {experiment.tuned_rank}, but {source} tries "
                f"{tried} settings of an arm only"
            )

    def combinations(self, experiment: Experiment) -> Iterator[dict[str, Any]]:
        """The settings of each of an experiment's cells."""
        return experiment.combinations(self.defaults, self.analysis.objectives)

    @model_validator(mode="after")
    def _jobs_can_be_planned_and_held(self) -> "Study":
        """Limits that keep a slip of the hand from filling the memory; far above real studies."""
        size = self.training.block_size
        jobs = sum(
            (math.ceil(len(self.seeds_of(experiment)) / size) + 1)
            * experiment.size(self.analysis.objectives)
            for experiment in self.experiments.training.values()
        )
        if jobs > MOST_JOBS * 1.1:
            raise ValueError(
                f"some {jobs:,} training jobs, more than the {MOST_JOBS:,} that can be planned; "
                "raise training.block_size, or lower seeds.study.count or an experiment's lists"
            )
        budgets = [self.defaults.epochs or self.defaults.steps or 0]
        for experiment in self.experiments.training.values():
            budgets += experiment.epochs or experiment.steps or []
        points = self.dataset.train_size + self.dataset.test_size
        for rows, keys in (
            (size * max(budgets), "the budget (epochs, steps)"),
            (size * points, "one of dataset.train_size, dataset.test_size"),
        ):
            if rows > MOST_ROWS:
                raise ValueError(
                    f"a block of {size:,} seeds has {rows:,} rows, more than the {MOST_ROWS:,} "
                    f"that fit the memory of a job; lower training.block_size or {keys}"
                )
        return self

    def seeds_of(
        self, experiment: Experiment | Depth | DepthTraining | Digits | Curvature
    ) -> range:
        """The seeds of an experiment, ascending."""
        named = {"study": self.seeds.study, "tuning": self.seeds.tuning}
        seeds = experiment.seeds
        return (named[seeds] if isinstance(seeds, str) else seeds).range

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Study":
        """Check `config` (config.yaml as nested dicts) and return it typed.

        Raises ConfigError naming every offending key, its value and what is expected.
        """
        try:
            return cls.model_validate(dict(config))
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
            lines = [explain(problem, cls) for problem in problems[:20]]
            more = [f"and {len(problems) - 20} more"] if len(problems) > 20 else []
            raise ConfigError("\n".join(lines + more)) from None


def schema() -> dict[str, Any]:
    """The JSON schema of config.yaml, closed at every level."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of a bnstudy study",
        **Study.model_json_schema(),
    }
