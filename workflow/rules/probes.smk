"""Probes: two small experiments beside the grid, each a job of all the grid's seeds.

Needs: config `probes` (and `dataset`, `batch_norm`). Makes: results/tables/gradients.csv,
digits.csv, digits_curves.csv.
"""


rule gradients:
    """Measure gradients against depth at initialisation (H4)."""
    input:
        code=modules("depth.py", "data.py", "networks.py", "files.py"),
    output:
        table="results/tables/gradients.csv",
    log:
        "logs/gradients.log",
    benchmark:
        "results/benchmarks/gradients.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        seeds=list(STUDY.grid_seeds),
        settings=STUDY.probes.depth.model_dump(),
        dataset=STUDY.dataset.model_dump(),
        batch_norm=STUDY.batch_norm.model_dump(),
    script:
        "../scripts/gradients.py"


rule digits:
    """Train a dense and a convolutional network on digits, with and without BN (H5)."""
    input:
        code=modules("digits.py", "measures.py", "files.py"),
    output:
        table="results/tables/digits.csv",
        curves="results/tables/digits_curves.csv",
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
        seeds=list(STUDY.grid_seeds),
        settings=STUDY.probes.digits.model_dump(),
    script:
        "../scripts/digits.py"
