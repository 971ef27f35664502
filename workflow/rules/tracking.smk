"""Tracking: bring MLflow up to date with the results of a scope; one writer, any number of times.

Needs: results/<scope>tables, the blocks, the figures and pages. Makes: runs in MLflow, and receipts.
The database is no output on purpose: Snakemake deletes outputs before it makes them anew. Where
MLflow is not available the receipt says so, the study goes on, and the next `snakemake` tries again.
"""

# What tracking says of itself: of the runs and of the study, in either scope.
RECEIPTS = [
    f"results/{scope}tracking/{name}.json"
    for scope in SCOPES
    for name in ("runs", "study")
]


def missing_reason(receipt):
    """Why `receipt` is none: MLflow was not available, or the file is damaged; else None."""
    try:
        return json.loads(Path(receipt).read_text()).get("missing")
    except FileNotFoundError:
        return None
    except ValueError:
        return f"{receipt} is damaged."


def warn_if_untracked():
    """One clear line at the end, where a user sees it."""
    if not STUDY.mlflow.enabled:
        logger.warning(
            "mlflow.enabled is false: nothing was tracked. `make track` does it whenever you like."
        )
    elif missing := next(filter(None, map(missing_reason, RECEIPTS)), None):
        logger.warning(
            f"The study is not (wholly) in MLflow, all else is done. {missing}\n"
            "To make up for it: `make track`, or the same snakemake command again."
        )


def study_artifacts(scope):
    """What the run `study` holds."""
    return [
        file
        for file in made_in(scope, tracked=False)
        if not file.endswith(".html")
    ]


if workflow.is_main_process:
    # A receipt of what did not happen is none: without it, this run tracks.
    for receipt in RECEIPTS:
        if missing_reason(receipt):
            Path(receipt).unlink()


onsuccess:
    warn_if_untracked()


onerror:
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
    params:
        code=code("track.py", *all_members("arms", "tasks"), looks=True),
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
    params:
        code=code("track.py", *all_members("arms", "tasks"), looks=True),
        study=STUDY.model_dump(mode="json"),
    script:
        "../scripts/track.py"
