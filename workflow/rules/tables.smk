"""Tables of a scope: from its blocks to all curves, diagnostics, and one row per run.

Needs: results/runs. Makes: results/<scope>tables/curves.parquet, curves_thinned.parquet,
diagnostics.parquet, experiments.csv, runs.csv.
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
    """Compute one diagnostic from the snapshots of all runs. Nothing is trained for it."""
    input:
        experiments=rules.experiments.output.table,
        data=dataset_files(),
        records=block_files("record.json"),
        snapshots=block_files("snapshots.safetensors"),
    output:
        table="results/{scope}diagnostics/{diagnostic}.parquet",
    log:
        "logs/{scope}diagnostics/{diagnostic}.log",
    benchmark:
        "results/benchmarks/{scope}diagnostics/{diagnostic}.tsv"
    wildcard_constraints:
        diagnostic="[a-z0-9_]+",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=lambda wildcards: code(
            "diagnostic.py",
            ("diagnostics", wildcards.diagnostic),
            *used_in(wildcards.scope, "arms"),
            *used_in(wildcards.scope, "tasks"),
        ),
        settings=lambda wildcards: STUDY.diagnostics[wildcards.diagnostic],
    script:
        "../scripts/diagnostic.py"


rule diagnostics:
    """Put the diagnostics side by side."""
    input:
        tables=in_scope(
            "diagnostics", [f"{name}.parquet" for name in members.names("diagnostics")]
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
