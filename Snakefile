"""What does batch normalisation do to a small neural network? The whole study: `snakemake -c 4`."""

from snakemake.utils import min_version

min_version("9.10")


report: "workflow/report/workflow.rst"


include: "workflow/rules/settings.smk"


configfile: workflow.source_path("config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/datasets.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/tuning.smk"
include: "workflow/rules/experiments.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/pages.smk"
include: "workflow/rules/tracking.smk"


# On a cluster these run where Snakemake runs: they take seconds, and MLflow has one writer, there
# where its database or the way to its server is.
localrules:
    all,
    extended,
    track,
    choose,
    curvature_table,
    experiments,
    own_table,
    figure,
    claims,
    claims_page,
    explorer,
    paper,
    track_runs,
    track_study,
    tuning,
    versions,


rule all:
    """The whole study: tables, figures, the paper, and every run in MLflow."""
    default_target: True
    input:
        dataset_files(""),
        block_files("record.json", ""),
        made_in("", tracked=STUDY.mlflow.enabled),


rule extended:
    """The same of all experiments: what the default ones leave out as well."""
    input:
        dataset_files("extended/"),
        block_files("record.json", "extended/"),
        made_in("extended/", tracked=STUDY.mlflow.enabled),


rule track:
    """Every run in MLflow, also where the study leaves MLflow out."""
    input:
        "results/tracking/runs.json",
        "results/tracking/study.json",
