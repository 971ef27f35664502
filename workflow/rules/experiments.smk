"""The experiments of their own kind: some train other networks, in a job of all their seeds each; one
looks at the saved networks of others, in a job per cell.

Needs: config `experiments.depth`, `.depth_training`, `.digits`, `.mnist1d` (and `dataset`,
`batch_norm`), `.curvature` and results/runs of the cells it looks at. Makes: results/runs/depth/,
depth_training/, digits/, mnist1d/ and curvature/, results/curvature/.
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


rule curvature:
    """Measure how well conditioned the loss is at a cell's saved networks. Nothing is trained."""
    input:
        data=lambda wildcards: [
            dataset_of(block) for block in PLAN.looked_at[wildcards.cell]
        ],
        records=looked_at_files("record.json"),
        snapshots=looked_at_files("snapshots.safetensors"),
    output:
        table="results/curvature/{cell}.csv",
    log:
        "logs/curvature/{cell}.log",
    benchmark:
        "results/benchmarks/curvature/{cell}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=lambda wildcards: code(
            "curvature.py", ("arms", PLAN.cell(wildcards.cell).arm)
        ),
        seeds=lambda wildcards: [
            [seed for seed in PLAN.seeds(block) if seed in own_seeds("curvature")]
            for block in PLAN.looked_at[wildcards.cell]
        ],
        points=own("curvature").get("points"),
    script:
        "../scripts/curvature.py"


rule curvature_table:
    """Put the cells' curvatures into one table."""
    input:
        tables=lambda wildcards: [
            f"results/curvature/{cell}.csv" for cell in PLAN.looked_at
        ],
    output:
        table="results/runs/curvature/curvature.csv",
    log:
        "logs/curvature_table.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("curvature_table.py"),
    script:
        "../scripts/curvature_table.py"


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
