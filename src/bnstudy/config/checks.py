"""What is wrong with a configuration, in one line per problem: the key, and the remedy."""

import difflib
import re
import reprlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

# Keys of the first edition's config.yaml: where their settings are now.
MOVED = {
    "grid": "experiments.grid (arm, width), with its seeds in seeds.study",
    "ablation": "experiments.attribution",
    "original": "experiments.original",
    "measures": "snapshots.points and diagnostics.features.saturation",
    "extended": "experiments that default_experiments does not name",
    "probes": "experiments.depth and experiments.digits",
    "dropout": "arms.dropout",
    "training.epochs": "defaults.epochs",
    "training.learning_rate": "defaults.learning_rate",
}

# Sections with the settings of single members.
MEMBER_SETTINGS = ("arms", "tasks", "optimizers", "diagnostics")

# A part of pydantic's location of an error that is no key: one of several kinds of value.
NESTED = "{}"

_SHORT = reprlib.Repr()  # of any value, however long or deep
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxstring, _SHORT.maxother = 3, 12, 120, 120


class ConfigError(ValueError):
    """config.yaml asks for something impossible; the message names the key and the remedy."""


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
    """Refuse a file that is not YAML, or has a key twice (Snakemake would take the last).

    Raises ConfigError naming the file, the line and the key.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        _refuse_duplicates(yaml.compose(text, yaml.SafeLoader), path, set())
        yaml.safe_load(text)  # tags that YAML does not know, dates that do not exist
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError) as error:
        cause = re.sub(r'in "<(unicode|byte) string>", ', "in ", str(error))
        raise ConfigError(f"{path}: not YAML ({' '.join(cause.split())})") from None


def _refuse_duplicates(node: yaml.Node | None, path: str | Path, done: set[Any]) -> None:
    """`done`: what aliases stand for is looked at once, however often they unfold."""
    if node in done:
        return
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, path, done)
    if isinstance(node, yaml.MappingNode):
        first: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and first.setdefault(key.value, key) is not key:
                again, before = (k.start_mark.line + 1 for k in (key, first[key.value]))
                raise ConfigError(
                    f"{path}, line {again}: {_visible(key.value)} is duplicated (first in line "
                    f"{before}); remove one of them"
                )
            _refuse_duplicates(value, path, done)
    done.add(node)


def explain(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    """One line on one of pydantic's errors on `model`: the key, its value, what is expected."""
    place = key_path(error["loc"])
    if error["type"] == "extra_forbidden":
        if place in MOVED:
            return f"{place}: a key of the first edition; its settings are now in {MOVED[place]}"
        return f"{place}: unknown key{_suggestion(error['loc'], model)}"
    if error["type"] == "missing":
        return f"{place}: missing; add it (config.yaml in the repository shows every key)"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "invalid_key":
        within, key = key_path(error["loc"][:-1]), _SHORT.repr(error["input"])
        return f"{within}: {key} is no text, so no key{_suggestion(error['loc'], model)}"
    if error["loc"][-1:] == ("[key]",):
        return f"{key_path(error['loc'][:-2])}: {_SHORT.repr(error['input'])} is no text, so no key"
    if place in MEMBER_SETTINGS and error["type"] == "value_error":
        return f"{place}.{message}"  # which names the member and its setting
    if isinstance(error["input"], Mapping):
        return f"{place}: {message}"  # the whole section would hide what is wrong with it
    return f"{place} is {_SHORT.repr(error['input'])}: {message}{_yaml_hint(error['input'])}"


def key_path(location: tuple[str | int, ...]) -> str:
    """`experiments.grid.width[0]` for ("experiments", "grid", "width", 0)."""
    keys = (part for part in location if part != NESTED)
    parts = (f"[{key}]" if isinstance(key, int) else f".{_visible(key)}" for key in keys)
    return "".join(parts).removeprefix(".") or "config"


def unknown(name: object, known: list[str]) -> str:
    """What to write instead of `name`."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known) or 'nothing'}"


def _visible(key: str) -> str:
    """A key; in quotes where it could not be seen, or would break the line."""
    return key if key and key.isprintable() and key.strip() == key else repr(key)


def _suggestion(location: tuple[str | int, ...], model: type[BaseModel]) -> str:
    """What to write instead of a key: one of the model's that is the last on the way to it."""
    *parents, key = location
    for parent in parents:
        field = model.model_fields.get(str(parent))
        hint = field.annotation if field else model.__annotations__.get("__pydantic_extra__")
        kinds = (hint, *get_args(hint))
        plain = [getattr(kind, "__origin__", kind) for kind in kinds]  # without Annotated
        models = [k for k in plain if isinstance(k, type) and issubclass(k, BaseModel)]
        if not models:
            break
        model = models[0]
    return f"; {unknown(key, list(model.model_fields))}"


def _yaml_hint(value: Any) -> str:
    """What to write instead, where YAML read a number such as 1e-3 as a text."""
    if not isinstance(value, str):
        return ""
    for number in (int, float):
        with suppress(ValueError):
            return f" (YAML reads it as a text; write {number(value)!r})"
    return ""
