"""Tracking: bring MLflow up to date with the results; one writer, any number of times.

Needs: results/tables, the blocks, the figures and pages. Makes: runs in MLflow, and receipts. The
database is no output on purpose: Snakemake deletes outputs before it makes them anew. Where MLflow
is not available the receipt says so, the study goes on, and the next `snakemake` tries again.
"""

TRACKING_CODE = [
    f"tracking/{name}.py"
    for name in (
        "__init__",
        "artifacts",
        "describe",
        "importer",
        "notes",
        "server",
        "views",
    )
]
TRACKING_CODE += ["figures/cell_curves.py", "measures.py", "networks.py", "files.py"]
# What the run `study` shows. Files that a study does not have are left out.
SHOWN = [
    *expand("results/figures/{figure}.{format}", figure=FIGURES, format=FORMATS),
    *rules.curves.output,
    *rules.measures.output,
    *rules.runs.output,
    *rules.gradients.output,
    *rules.digits.output,
    *rules.significance.output,
    *rules.claims.output,
    *rules.paper.output,
]

if workflow.is_main_process:
    # A receipt of what did not happen is none: without it, this run tracks.
    for receipt in RECEIPTS:
        if owed(receipt):
            Path(receipt).unlink()


onsuccess:
    say_what_is_not_tracked()


onerror:
    say_what_is_not_tracked()


rule track_runs:
    """Log every run to MLflow, once, with its parent."""
    input:
        code=modules(*TRACKING_CODE),
        runs="results/tables/runs.csv",
        data=dataset_files(BLOCKS),
        curves=block_files("curves.parquet"),
        weights=block_files("checkpoint.safetensors"),
        records=block_files("record.json"),
    output:
        receipt=RECEIPTS[0],
    log:
        "logs/track_runs.log",
    benchmark:
        "results/benchmarks/track_runs.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        study=STUDY.model_dump(),
    script:
        "../scripts/track.py"


rule track:
    """Log the study itself: figures, tables, verdicts; and whatever is still missing."""
    input:
        code=modules(*TRACKING_CODE),
        runs="results/tables/runs.csv",
        records=block_files("record.json"),
        tracked=rules.track_runs.output,
        shown=SHOWN,
    output:
        receipt=RECEIPTS[1],
    log:
        "logs/track.log",
    benchmark:
        "results/benchmarks/track.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        study=STUDY.model_dump(),
    script:
        "../scripts/track.py"


rule track_extended:
    """Log the runs of the extended study."""
    input:
        code=modules(*TRACKING_CODE),
        runs="results/tables/extended/runs.csv",
        data=dataset_files(EXTENDED_BLOCKS),
        curves=extended_block_files("curves.parquet"),
        weights=extended_block_files("checkpoint.safetensors"),
        records=extended_block_files("record.json"),
    output:
        receipt=RECEIPTS[2],
    log:
        "logs/track_extended.log",
    benchmark:
        "results/benchmarks/track_extended.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        study=STUDY.model_dump(),
    script:
        "../scripts/track.py"
