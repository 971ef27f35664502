"""Tables: from the blocks to all curves, one row a run, and one row a test.

Needs: results/training. Makes: results/tables/curves.parquet, runs.csv, significance.csv.
"""


rule curves:
    """Put the loss curves of all runs into one tidy table."""
    input:
        code=modules("collect.py", "files.py"),
        curves=block_files("curves.parquet"),
    output:
        table="results/tables/curves.parquet",
    log:
        "logs/curves.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    script:
        "../scripts/curves.py"


rule runs:
    """Measure every run: final losses, epochs to each threshold."""
    input:
        code=modules("collect.py", "measures.py", "files.py"),
        curves=block_files("curves.parquet"),
        records=block_files("record.json"),
    output:
        table="results/tables/runs.csv",
    log:
        "logs/runs.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        grid_seeds=STUDY.grid.seeds.model_dump(),
        final_window=STUDY.analysis.final_window,
        thresholds=STUDY.analysis.thresholds,
    script:
        "../scripts/runs.py"


rule significance:
    """Test the hypotheses, with effects, intervals and verdicts."""
    input:
        code=modules("hypotheses.py", "statistics.py", "measures.py", "files.py"),
        runs="results/tables/runs.csv",
    output:
        table="results/tables/significance.csv",
    log:
        "logs/significance.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        analysis=STUDY.analysis.model_dump(),
        preview=STUDY.preview,
    script:
        "../scripts/significance.py"
