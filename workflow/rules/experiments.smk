"""The experiments of their own kind: two train other networks, in a job of all their seeds each; one
looks at the saved networks of others, in a job per cell.

Needs: config `experiments.depth`, `experiments.digits` (and `dataset`, `batch_norm`),
`experiments.curvature` and results/runs of the cells it looks at. Makes: results/runs/depth/,
results/runs/digits/, results/runs/curvature/, results/curvature/.
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
