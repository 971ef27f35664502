"""What was found and measured, written into README.md between markers.

Figure and findings come from published/, the speed table from benchmarks/results/; nothing of it is
typed.
"""

import re
from pathlib import Path

import yaml

from bnstudy.analysis.hypotheses import LOWER
from bnstudy.analysis.outcomes import each_row
from bnstudy.analysis.wording import interval
from bnstudy.config.models import Study
from bnstudy.config.plan import SCOPES
from bnstudy.files import atomic, read_csv
from bnstudy.report.captions import captions

# A generated part stands between <!-- name: … --> and <!-- end of name -->.
PART = r"(<!-- {name}: [^\n]*-->\n).*?(<!-- end of {name} -->)"


def write(root: Path) -> None:
    """Write the generated parts into README.md of the repository in `root`."""
    readme = root / "README.md"
    text = filled(readme.read_text(), parts(root))
    with atomic(readme) as path:
        path.write_text(text)


def parts(root: Path) -> dict[str, str]:
    """The generated parts, from the committed tables of the repository in `root`."""
    return {
        "figure": figure(root, "claims_matrix"),
        "findings": "\n".join(
            [*findings(root / "published" / "tables"), *caveats(widest(root / "published"))]
        ),
        "speed": (root / "benchmarks" / "results" / "short.md").read_text().strip(),
    }


def filled(text: str, parts: dict[str, str]) -> str:
    """`text` with the generated `parts` in their places. ValueError where a place is missing."""
    for name, content in parts.items():
        place = re.search(PART.format(name=name), text, re.DOTALL)
        if not place:
            raise ValueError(f"README.md has no place for {name!r}: <!-- {name}: … -->")
        text = f"{text[: place.end(1)]}{content}\n{text[place.start(2) :]}"
    return text


def figure(root: Path, name: str) -> str:
    """A published figure with its caption, of the study that config.yaml describes."""
    config = yaml.safe_load((root / "config.yaml").read_text())
    title, text = captions(Study.from_config(config))[name]
    return f"![{title}](published/figures/{name}.png)\n\n*{title}.* {text}"


def findings(tables: Path) -> list[str]:
    """A line on each claim: where it holds, where it fails."""
    claims = read_csv(tables / "claims.csv").drop_duplicates("claim")
    return [f"- **{row.claim}.** “{row.words}”: {row.summary}" for row in each_row(claims)]


def widest(published: Path) -> Path:
    """The tables of the widest scope that was published."""
    return [t for scope in SCOPES if (t := published / scope / "tables").exists()][-1]


def caveats(tables: Path) -> list[str]:
    """What the verdicts leave out: where BN was slower at the article's settings, and that losses
    still fell at the end of the longest budget."""
    tests, horizon = read_csv(tables / "significance.csv"), read_csv(tables / "horizon.csv")
    others = tests[(tests.role == "secondary") & tests.column.str.startswith("epochs_to_")]
    slower = [
        f"{row.quantity} at width {row.width:g}: ratio {interval(row)}"
        for row in each_row(others[others.ratio_low > 1])
    ]
    lower = (others.direction == LOWER).sum()
    lines = [
        f"- At other widths and thresholds, as the article ran it: {lower} of {len(others)} "
        f"comparisons of epochs lower beyond the margin; with an interval above 1: "
        f"{'; '.join(slower) or 'none'}."
    ]
    last = horizon[horizon.epochs == horizon.epochs.max()]
    slopes = last[["slope_none", "slope_batch"]].to_numpy()
    if len(last):
        lines.append(
            f"- Not converged: after {last.epochs.iloc[0]:,} epochs at the article's rate the test "
            f"losses of widths {', '.join(map(str, last.width))} still fell over the last "
            f"doubling, to {slopes.min():.2f} to {slopes.max():.2f} of what they were."
        )
    return lines
