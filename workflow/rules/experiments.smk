"""The experiments of their own kind, which train other networks; a job of all their seeds each.

Needs: config `experiments.depth`, `.depth_training`, `.digits`, `.mnist1d` (and `dataset`,
`batch_norm`). Makes: results/runs/depth/, depth_training/, digits/ and mnist1d/.
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


rule depth_training:
    """Train deep stacks, with and without BN, from weights of several sizes."""
    output:
        table="results/runs/depth_training/depth_training.csv",
    log:
        "logs/depth_training.log",
    benchmark:
        "results/benchmarks/depth_training.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        code=code("depth_training.py", ("tasks", "article"), ("optimizers", "adam")),
        seeds=own_seeds("depth_training"),
        settings=own("depth_training"),
        ranges=STUDY.dataset.ranges.model_dump(),
        batch_norm=STUDY.batch_norm.model_dump(),
    script:
        "../scripts/depth_training.py"


rule digits:
    """Train a dense and a convolutional network on digits, with and without BN, each tuned."""
    output:
        table="results/runs/{source}/{source}.csv",
        curves="results/runs/{source}/{source}_curves.csv",
        tuning="results/runs/{source}/{source}_tuning.csv",
    log:
        "logs/{source}.log",
    benchmark:
        "results/benchmarks/{source}.tsv"
    wildcard_constraints:
        source="digits|mnist1d",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code("digits.py"),
        seeds=lambda wildcards: own_seeds(wildcards.source),
        tuning_seeds=list(STUDY.seeds.tuning.range),
        settings=lambda wildcards: own(wildcards.source),
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
