"""`bnstudy COMMAND`: finds the command's file and runs it; no other is imported."""

import argparse
import ast
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from bnstudy.start import collect_seldom

OTHERS = (
    "In another user's study you can read results/ and, with `mlflow ui`, the runs; to run one, "
    "clone the repository, or name a folder of your own: `bnstudy run --directory DIR`."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (by default the process's) name; its exit status."""
    collect_seldom()
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="bnstudy", description="Run a study in the current folder, and look after it."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        description = ast.get_docstring(ast.parse(file.read_text())) or ""
        command = commands.add_parser(
            file.stem,
            help=description.split("\n\n")[0].replace("\n", " ").rstrip("."),
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if file.stem in given[:1]:
            module = import_module(f"bnstudy.commands.{file.stem}")
            command.set_defaults(run=module.run, given=given[1:], passes_on=False)
            module.add_arguments(command)
    options, others = parser.parse_known_args(given)
    if others and not options.passes_on:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    try:
        return int(options.run(options))
    except PermissionError as error:
        print(f"{error.filename}: {error.strerror}. {OTHERS}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
