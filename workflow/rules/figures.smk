"""Figures: one module a figure in src/bnstudy/figures, one entry here.

Needs: results/tables. Makes: results/figures/<name>.pdf, .svg and .png.
"""

# Figure: the tables it is drawn from.
FIGURES = {
    "loss_curves": ["curves.parquet"],
    "final_loss_ratio": ["runs.csv", "significance.csv"],
    "epochs_ratio": ["significance.csv"],
    "final_window": ["runs.csv"],
    "gradient_depth": ["gradients.csv"],
    "digits": ["digits.csv", "digits_curves.csv"],
}
# Figure: modules that it needs beside the style and the measures.
FIGURE_CODE = {"digits": ["statistics.py"]}
FORMATS = ["pdf", "svg", "png"]


rule figure:
    """Draw one figure from its tables."""
    input:
        code=lambda wildcards: modules(
            f"figures/{wildcards.figure}.py",
            "figures/style.py",
            "figures/bnstudy.mplstyle",
            "measures.py",
            *FIGURE_CODE.get(wildcards.figure, []),
        ),
        tables=lambda wildcards: expand(
            "results/tables/{table}", table=FIGURES[wildcards.figure]
        ),
    output:
        expand("results/figures/{{figure}}.{format}", format=FORMATS),
    log:
        "logs/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join(FIGURES),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        study=STUDY.model_dump(include=set(FigureSettings.model_fields)),
    script:
        "../scripts/figure.py"
