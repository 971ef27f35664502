"""The paper, set from the tables and figures.

Needs: paper/, results/tables, results/figures, the blocks' records. Makes: results/paper.pdf, and
with the extended study's section results/paper_extended.pdf.
"""

PAPER_SOURCE = sorted(
    os.path.relpath(path) for path in (ROOT / "paper").iterdir() if path.is_file()
)
PAPER_TABLES = expand(
    "results/tables/{table}.csv",
    table=["claims", "significance", "sensitivity", "runs"],
)
PAPER_FIGURES = expand("results/figures/{figure}.pdf", figure=FIGURES)


rule paper:
    """Set the paper: every number in it from the tables, or from the settings."""
    input:
        code=modules("paper.py", "claims.py", "files.py"),
        source=PAPER_SOURCE,
        tables=PAPER_TABLES,
        figures=PAPER_FIGURES,
        records=block_files("record.json"),
    output:
        pdf=report(
            "results/paper.pdf",
            caption="../report/paper.rst",
            category="Paper",
            labels={"study": "default"},
        ),
    log:
        "logs/paper.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        # what no number of the paper depends on is left out
        settings=STUDY.model_dump(exclude={"mlflow": True, "training": {"block_size"}}),
        captions=CAPTIONS,
    script:
        "../scripts/paper.py"


use rule paper as paper_extended with:
    input:
        code=modules("paper.py", "claims.py", "files.py"),
        source=PAPER_SOURCE,
        tables=PAPER_TABLES
        + expand("results/tables/extended/{table}.csv", table=["effects", "horizon"]),
        figures=PAPER_FIGURES
        + expand("results/figures/{figure}.pdf", figure=EXTENDED_FIGURES),
        records=block_files("record.json"),
    output:
        pdf=report(
            "results/paper_extended.pdf",
            caption="../report/paper.rst",
            category="Paper",
            labels={"study": "extended"},
        ),
    log:
        "logs/paper_extended.log",
