"""What was found and measured, written into README.md between markers.

Figure and findings come from published/, the speed table from benchmarks/results/; nothing of it is
typed.
"""

import re
from pathlib import Path

import yaml

from bnstudy.analysis.outcomes import each_row
from bnstudy.analysis.wording import interval, p_text
from bnstudy.config.models import Study
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
        "figure": figure(root, "loss_curves"),
        "findings": findings(root / "published" / "tables"),
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


def findings(tables: Path) -> str:
    """The claims with their verdicts, and the main two comparisons over the widths."""
    claims, tests = (read_csv(tables / f"{name}.csv") for name in ("claims", "significance"))
    lines = ["| the article's claim | verdict | ratio, BN / without (interval) | Holm p |"]
    lines.append("|---|---|---|---|")
    for claim in each_row(claims):
        lines.append(
            f"| {claim.claim}: {claim.words} | **{claim.verdict}** | "
            f"{claim.deciding_part}: {interval(claim)} | {p_text(claim.p_holm)} |"
        )
    lines += ["", *(f"- **{claim.claim}.** {claim.evidence}" for claim in each_row(claims)), ""]
    lines.append(
        "Over the widths (the verdicts of the primary width decide, the others are secondary):"
    )
    decided = tests[tests.role.isin(["primary", "secondary"])]
    speed, final = (decided[decided.hypothesis == h].set_index("width") for h in ("H1", "H2a"))
    lines += ["", f"| width | {speed.quantity.iloc[0]} | {final.quantity.iloc[0]} |"]
    lines.append("|---|---|---|")
    for width in sorted(speed.index):
        cells = (f"{interval(t.loc[width])}: {t.verdict[width]}" for t in (speed, final))
        lines.append(f"| {width:g} | {' | '.join(cells)} |")
    return "\n".join(lines)
