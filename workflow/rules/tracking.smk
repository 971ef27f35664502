"""Tracking: bring MLflow up to date with the results of a scope; one writer, any number of times.

While blocks train, `bnstudy watch` logs those that are finished, so that little is left for the end.

Needs: results/<scope>tables, the blocks, the figures and pages. Makes: runs in MLflow, and receipts.
The database is no output on purpose: Snakemake deletes outputs before it makes them anew. Where
MLflow is not available the receipt says so, the study goes on, and the next `snakemake` tries again.
"""

if workflow.is_main_process:
    # A receipt of what did not happen is none: without it, this run tracks.
    for receipt in RECEIPTS:
        if missing_reason(receipt):
            Path(receipt).unlink()


onsuccess:
    stop_watching()
    warn_of_edges()
    warn_if_untracked()


onerror:
    stop_watching()
    warn_if_untracked()


rule track_runs:
    """Log every run to MLflow, once, with its parent."""
    input:
        runs="results/{scope}tables/runs.csv",
        experiments="results/{scope}tables/experiments.csv",
        data=dataset_files(),
        curves=block_files("curves.parquet"),
        weights=block_files("checkpoint.safetensors"),
        records=block_files("record.json"),
    output:
        receipt="results/{scope}tracking/runs.json",
    log:
        "logs/{scope}track_runs.log",
    benchmark:
        "results/benchmarks/{scope}track_runs.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
        mlflow_writer=1,  # a second one would only hold a core while it waits for the first
    params:
        code=lambda wildcards: code(
            "track.py", *used_in(wildcards.scope, "arms"), looks=True
        ),
        study=STUDY.model_dump(mode="json"),
    script:
        "../scripts/track.py"


rule track_study:
    """Log the study itself: figures, tables, verdicts; and whatever is still missing."""
    input:
        runs="results/{scope}tables/runs.csv",
        experiments="results/{scope}tables/experiments.csv",
        records=block_files("record.json"),
        tracked="results/{scope}tracking/runs.json",
        artifacts=lambda wildcards: study_artifacts(wildcards.scope),
    output:
        receipt="results/{scope}tracking/study.json",
    log:
        "logs/{scope}track_study.log",
    benchmark:
        "results/benchmarks/{scope}track_study.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
        mlflow_writer=1,  # a second one would only hold a core while it waits for the first
    params:
        code=lambda wildcards: code(
            "track.py", *used_in(wildcards.scope, "arms"), looks=True
        ),
        study=STUDY.model_dump(mode="json"),
    script:
        "../scripts/track.py"
