"""Datasets: one file per block of seeds, each replicate made from its seed alone.

Needs: config `dataset`. Makes: results/datasets/<task>-<inputs>/seeds_<first>.npz.
"""


rule dataset:
    """Draw training and test set of each seed of a block."""
    output:
        data="results/datasets/{data}/seeds_{start}.npz",
    log:
        "logs/dataset/{data}/seeds_{start}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=lambda wildcards: code(
            "dataset.py", ("tasks", wildcards.data.rpartition("-")[0])
        ),
        seeds=lambda wildcards: PLAN.dataset_seeds(wildcards.start),
        settings=STUDY.dataset.model_dump(),
        task_settings=lambda wildcards: STUDY.tasks[wildcards.data.rpartition("-")[0]],
    script:
        "../scripts/dataset.py"
