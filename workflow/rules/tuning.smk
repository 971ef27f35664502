"""Tuning: what the tuning seeds choose for a tuned cell, one small file each, and a table of it all.

Needs: results/runs of the cells that are tried. Makes: results/tuning/<cell>.json, which holds the
chosen learning rate and schedule alone, results/tuning/<cell>.csv, results/<scope>tables/tuning.csv.
"""


rule choose:
    """Choose learning rate and schedule of a tuned cell."""
    input:
        records=lambda wildcards: tried_files(wildcards.cell, "record.json"),
        curves=lambda wildcards: tried_files(wildcards.cell, "curves.parquet"),
    output:
        choice="results/tuning/{cell}.json",
        table="results/tuning/{cell}.csv",
    log:
        "logs/tuning/{cell}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=lambda wildcards: code(
            "choose.py", ("tasks", PLAN.cell(wildcards.cell).task)
        ),
        seeds=lambda wildcards: [
            PLAN.tuning_seeds(PLAN.cell(wildcards.cell), block)
            for block in PLAN.tried(PLAN.cell(wildcards.cell))
        ],
        cell=lambda wildcards: PLAN.cell(wildcards.cell).values(),
        analysis=STUDY.analysis.model_dump(
            include={"final_window", "thresholds", "bootstraps", "seed"}
        ),
    script:
        "../scripts/choose.py"


rule tuning:
    """Put all choices of a scope into one table."""
    input:
        tables=lambda wildcards: [
            f"results/tuning/{cell}.csv"
            for cell in tuned_cells(wildcards.scope)
            if PLAN.cell(cell).tuned_rank == 1
        ],
    output:
        table="results/{scope}tables/tuning.csv",
    log:
        "logs/{scope}tuning.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("tuning.py"),
    script:
        "../scripts/tuning.py"
