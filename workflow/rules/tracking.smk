"""Tracking: bring MLflow up to date with the results; one writer, any number of times.

Needs: results/tables, the blocks' records. Makes: runs in MLflow, and a receipt. The database is
no output on purpose: Snakemake deletes outputs before it makes them anew.
"""


rule track:
    """Log every run to MLflow, once."""
    input:
        code=modules("tracking.py", "measures.py", "files.py"),
        runs="results/tables/runs.csv",
        curves="results/tables/curves.parquet",
        records=block_files("record.json"),
    output:
        receipt="results/tracking.json",
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
        settings=STUDY.mlflow.model_dump(),
    script:
        "../scripts/track.py"
