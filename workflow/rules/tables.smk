"""Tables of a scope: from its blocks to all curves, diagnostics, and one row per run.

Needs: results/runs. Makes: results/<scope>tables/curves.parquet, curves_thinned.parquet,
diagnostics.parquet, experiments.csv, runs.csv, horizon.csv, envelope.csv, versions.csv. What is made
from these needs no blocks and no curves of every epoch.
"""


rule experiments:
    """List the experiments' cells and seeds."""
    output:
        table="results/{scope}tables/experiments.csv",
    log:
        "logs/{scope}experiments.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("experiments.py"),
        rows=lambda wildcards: PLAN.rows(wildcards.scope),
    script:
        "../scripts/experiments.py"


rule curves:
    """Put the loss curves of all runs into one tidy table, and a thinned one for figures."""
    input:
        experiments=rules.experiments.output.table,
        records=block_files("record.json"),
        curves=block_files("curves.parquet"),
    output:
        table="results/{scope}tables/curves.parquet",
        thinned="results/{scope}tables/curves_thinned.parquet",
    log:
        "logs/{scope}curves.log",
    benchmark:
        "results/benchmarks/{scope}curves.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("curves.py"),
    script:
        "../scripts/curves.py"


rule diagnostic:
    """Compute all diagnostics of a cell's snapshots. Nothing is trained for it.

    A job per cell: beside training, once the cell is trained; a job per block would spend its time
    on importing PyTorch.
    """
    input:
        data=lambda wildcards: [
            dataset_of(block) for block in cells_of(wildcards.scope)[wildcards.cell]
        ],
        records=cell_files("record.json"),
        snapshots=cell_files("snapshots.safetensors"),
    output:
        table="results/{scope}diagnostics/{cell}.parquet",
    log:
        "logs/{scope}diagnostics/{cell}.log",
    benchmark:
        "results/benchmarks/{scope}diagnostics/{cell}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=diagnostic_code,
        seeds=lambda wildcards: [
            PLAN.seeds(block, wildcards.scope)
            for block in cells_of(wildcards.scope)[wildcards.cell]
        ],
        settings=STUDY.diagnostics,
    script:
        "../scripts/diagnostic.py"


rule diagnostics:
    """Put the cells' diagnostics into one table."""
    input:
        tables=in_scope(
            "diagnostics",
            lambda scope: [f"{cell}.parquet" for cell in saved_cells(scope)],
        ),
    output:
        table="results/{scope}tables/diagnostics.parquet",
    log:
        "logs/{scope}diagnostics.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("diagnostics.py"),
        columns=list(DIAGNOSED),
    script:
        "../scripts/diagnostics.py"


rule runs:
    """Measure every run: final losses, epochs to each threshold, its network at the end."""
    input:
        experiments=rules.experiments.output.table,
        records=block_files("record.json"),
        curves=block_files("curves.parquet"),
        diagnostics=rules.diagnostics.output.table,
    output:
        table="results/{scope}tables/runs.csv",
    log:
        "logs/{scope}runs.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=lambda wildcards: code(
            "runs.py",
            *used_in(wildcards.scope, "tasks"),
        ),
        final_window=STUDY.analysis.final_window,
        thresholds=STUDY.analysis.thresholds,
    script:
        "../scripts/runs.py"


rule by_epoch:
    """Follow BN's effect along the longest budgets, and the best loss that any rate reaches."""
    input:
        experiments=rules.experiments.output.table,
        curves=rules.curves.output.table,
    output:
        horizon="results/{scope}tables/horizon.csv",
        envelope="results/{scope}tables/envelope.csv",
    log:
        "logs/{scope}by_epoch.log",
    benchmark:
        "results/benchmarks/{scope}by_epoch.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code("by_epoch.py"),
        study=SETTINGS,
    script:
        "../scripts/by_epoch.py"


rule versions:
    """List the software and the processors that the runs were made with."""
    input:
        records=block_files("record.json"),
    output:
        table="results/{scope}tables/versions.csv",
    log:
        "logs/{scope}versions.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("versions.py"),
    script:
        "../scripts/versions.py"
