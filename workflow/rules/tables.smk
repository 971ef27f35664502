"""Tables: from the blocks to all curves, one row a run, and one row a test.

Needs: results/training, and the probes' tables. Makes: results/tables/curves.parquet,
measures.parquet, runs.csv, significance.csv, sensitivity.csv, claims.csv, and results/claims.md.
"""


rule curves:
    """Put the loss curves of all runs into one tidy table."""
    input:
        code=modules("collect.py", "files.py"),
        blocks=block_files("curves.parquet"),
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
        "../scripts/rows.py"


rule measures:
    """Put the features, gradients and effective weights of all runs into one tidy table."""
    input:
        code=modules("collect.py", "files.py"),
        blocks=block_files("measures.parquet"),
    output:
        table="results/tables/measures.parquet",
    log:
        "logs/measures.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    script:
        "../scripts/rows.py"


rule runs:
    """Measure every run: final losses, epochs to each threshold."""
    input:
        code=modules("collect.py", "measures.py", "files.py"),
        curves=block_files("curves.parquet"),
        measures=block_files("measures.parquet"),
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
    """Test the hypotheses, with effects, intervals and verdicts, as stated and otherwise."""
    input:
        code=modules("hypotheses.py", "statistics.py", "measures.py", "files.py"),
        runs="results/tables/runs.csv",
        gradients="results/tables/gradients.csv",
        digits="results/tables/digits.csv",
    output:
        table="results/tables/significance.csv",
        sensitivity="results/tables/sensitivity.csv",
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


rule claims:
    """State the verdict on each of the article's claims, with its evidence."""
    input:
        code=modules("claims.py", "hypotheses.py", "files.py"),
        tests="results/tables/significance.csv",
        sensitivity="results/tables/sensitivity.csv",
    output:
        table="results/tables/claims.csv",
        page="results/claims.md",
    log:
        "logs/claims.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        analysis=STUDY.analysis.model_dump(),
        preview=STUDY.preview,
        captions=CAPTIONS,
    script:
        "../scripts/claims.py"
