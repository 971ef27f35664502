"""Datasets: one file a block of seeds, each replicate made from its seed alone.

Needs: config `dataset`. Makes: results/datasets/seeds_<first>.npz.
"""


rule dataset:
    """Draw training and test set of each seed of a block."""
    input:
        code=modules("data.py", "files.py"),
    output:
        data="results/datasets/seeds_{start}.npz",
    log:
        "logs/dataset/seeds_{start}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        seeds=lambda wildcards: STUDY.dataset_seeds(int(wildcards.start)),
        settings=STUDY.dataset.model_dump(),
    script:
        "../scripts/dataset.py"
