"""The two experiments of their own kind, which train other networks; a job of all their seeds each.

Needs: config `experiments.depth`, `experiments.digits` (and `dataset`, `batch_norm`). Makes:
results/runs/depth/ and results/runs/digits/.
"""


rule depth:
    """Measure gradients against depth at initialisation."""
    output:
        table="results/runs/depth/gradients.csv",
    log:
        "logs/depth.log",
    benchmark:
        "results/benchmarks/depth.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code("depth.py", ("tasks", "article")),
        seeds=own_seeds("depth"),
        settings=own("depth"),
        dataset=STUDY.dataset.model_dump(),
        batch_norm=STUDY.batch_norm.model_dump(),
    script:
        "../scripts/depth.py"


rule digits:
    """Train a dense and a convolutional network on digits, with and without BN, each tuned."""
    output:
        table="results/runs/digits/digits.csv",
        curves="results/runs/digits/digits_curves.csv",
        tuning="results/runs/digits/digits_tuning.csv",
    log:
        "logs/digits.log",
    benchmark:
        "results/benchmarks/digits.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code("digits.py"),
        seeds=own_seeds("digits"),
        tuning_seeds=list(STUDY.seeds.tuning.range),
        settings=own("digits"),
    script:
        "../scripts/digits.py"


rule own_table:
    """Put a table of these experiments beside the scope's others."""
    input:
        table=lambda wildcards: f"results/runs/{OWN_TABLES[wildcards.table]}/{wildcards.table}.csv",
    output:
        table="results/{scope}tables/{table}.csv",
    log:
        "logs/{scope}own_table/{table}.log",
    wildcard_constraints:
        table="|".join(OWN_TABLES),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("own_table.py"),
    script:
        "../scripts/own_table.py"
