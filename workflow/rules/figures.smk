"""Figures: one module a figure in src/bnstudy/figures, one entry here.

Needs: results/tables. Makes: results/figures/<name>.pdf, .svg and .png.
"""

# Figure: the tables it is drawn from.
FIGURES = {
    "loss_curves": ["curves.parquet"],
    "final_loss_ratio": ["runs.csv", "significance.csv"],
    "epochs_ratio": ["significance.csv"],
    "survival": ["runs.csv"],
    "profiles": ["runs.csv"],
    "arms": ["significance.csv"],
    "gradient_depth": ["gradients.csv"],
    "features": ["measures.parquet"],
    "digits": ["digits.csv", "digits_curves.csv", "significance.csv"],
    "final_window": ["runs.csv"],
}
EXTENDED_FIGURES = {
    "horizon": ["extended/horizon.csv"],
    "settings_ratio": ["extended/effects.csv"],
}
FIGURE_TABLES = FIGURES | EXTENDED_FIGURES
FORMATS = ["pdf", "svg", "png"]


rule figure:
    """Draw one figure from its tables."""
    input:
        code=lambda wildcards: modules(
            f"figures/{wildcards.figure}.py",
            "figures/style.py",
            "figures/bnstudy.mplstyle",
            "measures.py",
            "statistics.py",
        ),
        tables=lambda wildcards: expand(
            "results/tables/{table}", table=FIGURE_TABLES[wildcards.figure]
        ),
    output:
        pdf="results/figures/{figure}.pdf",
        svg=report(
            "results/figures/{figure}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels=lambda wildcards: {
                "study": study_of(wildcards.figure, FIGURES),
                "figure": CAPTIONS[wildcards.figure][0],
            },
        ),
        png="results/figures/{figure}.png",
    log:
        "logs/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join(FIGURE_TABLES),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        study=STUDY.model_dump(include=set(FigureSettings.model_fields)),
        caption=lambda wildcards: CAPTIONS[wildcards.figure],
    script:
        "../scripts/figure.py"
