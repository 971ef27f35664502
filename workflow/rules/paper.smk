"""The paper of a scope, set from its tables and figures.

Needs: paper/, results/<scope>tables, results/<scope>figures. Makes: results/<scope>paper.pdf.
"""

PAPER_SOURCE = sorted(
    os.path.relpath(path) for path in (ROOT / "paper").iterdir() if path.is_file()
)


rule paper:
    """Set the paper: every number in it from the tables, or from the settings."""
    input:
        source=PAPER_SOURCE,
        tables=in_scope("tables", told_tables),
        figures=in_scope(
            "figures",
            lambda scope: [f"{figure}.pdf" for figure in figures_of(scope)],
        ),
    output:
        pdf=report(
            "results/{scope}paper.pdf",
            caption="../report/paper.rst",
            category="Paper",
            labels=lambda wildcards: {"study": study_of(wildcards)},
        ),
    log:
        "logs/{scope}paper.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("paper.py"),
        looks=[members.declared("arms", name) for name in members.names("arms")],
        columns=DIAGNOSED,
        # what no number of the paper depends on is left out
        settings=STUDY.model_dump(exclude={"mlflow": True, "training": {"block_size"}}),
        publication=publication(ROOT),
        captions=lambda wildcards: {
            name: CAPTIONS[name] for name in figures_of(wildcards.scope)
        },
    script:
        "../scripts/paper.py"
