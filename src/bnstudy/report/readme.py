"""Write what was found and measured into README.md, between markers: `make readme`.

Figure and findings come from published/, the speed table from benchmarks/results/; nothing of it is
typed.
"""

import re
import sys
from pathlib import Path

import yaml

from bnstudy.claims import interval, p_text
from bnstudy.figures.captions import captions
from bnstudy.files import atomic, read_csv
from bnstudy.study import Study

ROOT = Path(__file__).parents[2]
# A generated part stands between <!-- name: … --> and <!-- end of name -->.
PART = r"(<!-- {name}: [^\n]*-->\n).*?(<!-- end of {name} -->)"


def findings(published: Path) -> str:
    """The claims with their verdicts, and the main two over the widths."""
    claims, tests = (
        read_csv(published / "tables" / f"{t}.csv") for t in ("claims", "significance")
    )
    lines = ["| the article's claim | verdict | ratio, BN / without (interval) | Holm p |",
             "|---|---|---|---|"]  # fmt: skip
    for claim in claims.itertuples():
        lines.append(
            f"| {claim.claim}: {claim.words} | **{claim.verdict}** | "
            f"{claim.deciding_part}: {interval(claim)} | {p_text(claim.p_holm)} |"
        )
    lines.append("")
    lines += [f"- **{claim.claim}.** {claim.evidence}" for claim in claims.itertuples()]
    lines += ["", "Over the widths (the verdicts of the primary width decide, the others are "
              "secondary):", ""]  # fmt: skip
    decided = tests[tests.role.isin(["primary", "secondary"])]
    speed, final = (decided[decided.hypothesis == h].set_index("width") for h in ("H1", "H2a"))
    lines += [f"| width | {speed.quantity.iloc[0]} | {final.quantity.iloc[0]} |", "|---|---|---|"]
    for width in sorted(speed.index):
        cells = (f"{interval(t.loc[width])}: {t.verdict[width]}" for t in (speed, final))
        lines.append(f"| {width:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(name: str) -> str:
    """A published figure with its caption, of the study that config.yaml describes."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    title, text = captions(Study.from_config(config))[name]
    return f"![{title}](published/figures/{name}.png)\n\n*{title}.* {text}"


def filled(text: str, parts: dict[str, str]) -> str:
    """`text` with the generated `parts` in their places. ValueError where a place is missing."""
    for name, content in parts.items():
        pattern = re.compile(PART.format(name=name), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"README.md has no place for {name!r}: <!-- {name}: … -->")
        text = pattern.sub(lambda found, content=content: f"{found[1]}{content}\n{found[2]}", text)
    return text


def parts() -> dict[str, str]:
    """The generated parts, from the committed tables."""
    speed = ROOT / "benchmarks" / "results" / "speed.md"
    return {
        "figure": figure("loss_curves"),
        "findings": findings(ROOT / "published"),
        "speed": speed.read_text().strip(),
    }


if __name__ == "__main__":
    readme = ROOT / "README.md"
    with atomic(readme) as path:
        path.write_text(filled(readme.read_text(), parts()))
    sys.exit()
