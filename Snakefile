"""What does batch normalisation do to a small neural network? The whole study: `snakemake -c 4`."""

from snakemake.utils import min_version

min_version("9.10")


report: "workflow/report/workflow.rst"


include: "workflow/rules/settings.smk"


configfile: workflow.source_path("config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/datasets.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/probes.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/extended.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/pages.smk"
include: "workflow/rules/tracking.smk"


# On a cluster these run where Snakemake runs: they take seconds, and MLflow has one writer, there
# where its database or the way to its server is.
localrules:
    all,
    extended,
    figure,
    claims,
    claims_page,
    table_page,
    paper,
    paper_extended,
    track_runs,
    track,
    track_extended,


rule all:
    """The whole study: tables, figures, the paper, and every run in MLflow.

    Asks for what every rule makes. A failed job takes its old files away; were they not asked for
    here, Snakemake would not miss them, and leave what was once made from them as it is.
    """
    default_target: True
    input:
        dataset_files(BLOCKS),
        block_files("record.json"),
        rules.curves.output,
        rules.measures.output,
        rules.runs.output,
        rules.gradients.output,
        rules.digits.output,
        rules.significance.output,
        rules.claims.output,
        expand("results/figures/{figure}.{format}", figure=FIGURES, format=FORMATS),
        rules.paper.output,
        rules.claims_page.output,
        expand("results/pages/{table}.html", table=TABLE_PAGES),
        [rules.track_runs.output, rules.track.output] if STUDY.mlflow.enabled else [],


rule extended:
    """What the default study leaves out: wider, longer, other settings, label noise, dropout."""
    input:
        dataset_files(EXTENDED_BLOCKS),
        extended_block_files("record.json"),
        rules.extended_curves.output,
        rules.extended_measures.output,
        rules.extended_runs.output,
        rules.effects.output,
        expand(
            "results/figures/{figure}.{format}",
            figure=EXTENDED_FIGURES,
            format=FORMATS,
        ),
        rules.paper_extended.output,
        expand("results/pages/{table}.html", table=EXTENDED_TABLE_PAGES),
        rules.track_extended.output if STUDY.mlflow.enabled else [],
