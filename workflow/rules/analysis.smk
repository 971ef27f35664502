"""Statistics of a scope: from its tables to tests, effects and the verdicts on the claims.

Needs: results/<scope>tables. Makes there: significance.csv, sensitivity.csv, effects.csv,
tasks.csv, associations.csv, prediction.csv (where there is a curvature.csv), claims.csv; and
results/<scope>claims.md.
"""


rule significance:
    """Test the hypotheses, with effects, intervals and verdicts, as stated and otherwise."""
    input:
        tables=in_scope("tables", tested_tables),
    output:
        table="results/{scope}tables/significance.csv",
        sensitivity="results/{scope}tables/sensitivity.csv",
    log:
        "logs/{scope}significance.log",
    benchmark:
        "results/benchmarks/{scope}significance.tsv"
    priority: 1  # long, and others wait
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code("significance.py", *all_members("claims")),
        study=SETTINGS,
    script:
        "../scripts/significance.py"


rule effects:
    """Estimate BN's effect under other settings, and task by task."""
    input:
        runs="results/{scope}tables/runs.csv",
        experiments="results/{scope}tables/experiments.csv",
    output:
        effects="results/{scope}tables/effects.csv",
        tasks="results/{scope}tables/tasks.csv",
        associations="results/{scope}tables/associations.csv",
    log:
        "logs/{scope}effects.log",
    benchmark:
        "results/benchmarks/{scope}effects.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=lambda wildcards: code("effects.py", *used_in(wildcards.scope, "tasks")),
        study=SETTINGS,
        arm_settings=STUDY.arms,
    script:
        "../scripts/effects.py"


rule prediction:
    """Correlate ratios of condition numbers with BN's effects."""
    input:
        runs="results/{scope}tables/runs.csv",
        curvature="results/{scope}tables/curvature.csv",
    output:
        table="results/{scope}tables/prediction.csv",
    log:
        "logs/{scope}prediction.log",
    benchmark:
        "results/benchmarks/{scope}prediction.tsv"
    priority: 1  # long, and others wait
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code("prediction.py"),
        study=SETTINGS,
    script:
        "../scripts/prediction.py"


rule claims:
    """State the verdict on each of the article's claims, with its evidence."""
    input:
        tests="results/{scope}tables/significance.csv",
        sensitivity="results/{scope}tables/sensitivity.csv",
    output:
        table="results/{scope}tables/claims.csv",
        page="results/{scope}claims.md",
    log:
        "logs/{scope}claims.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("claims.py", *all_members("claims")),
        study=SETTINGS,
        captions=lambda wildcards: {
            name: CAPTIONS[name][:2] for name in figures_of(wildcards.scope)
        },
    script:
        "../scripts/claims.py"
