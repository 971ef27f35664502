"""Figures of a scope: one module per figure in src/bnstudy/report/figures.

Needs: results/<scope>tables. Makes: results/<scope>figures/<name>.pdf, .svg and .png.
"""


rule figure:
    """Draw one figure from its tables."""
    input:
        tables=lambda wildcards: [
            f"results/{wildcards.scope}tables/{table}"
            for table in members.declared("figures", wildcards.figure)["TABLES"]
        ],
    output:
        pdf="results/{scope}figures/{figure}.pdf",
        svg=report(
            "results/{scope}figures/{figure}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels=lambda wildcards: {
                "study": study_of(wildcards),
                "figure": CAPTIONS[wildcards.figure][0],
            },
        ),
        png="results/{scope}figures/{figure}.png",
    log:
        "logs/{scope}figures/{figure}.log",
    wildcard_constraints:
        figure="[a-z0-9_]+",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=lambda wildcards: code(
            "figure.py",
            ("figures", wildcards.figure),
            looks=True,
        ),
        looks=[members.declared("arms", name) for name in members.names("arms")],
        study=SETTINGS,
        caption=lambda wildcards: CAPTIONS[wildcards.figure],
    script:
        "../scripts/figure.py"
