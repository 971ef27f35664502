"""Training: a block of seeds of one arm and width in one job, many replicates side by side.

Needs: results/datasets. Makes: results/training/<arm>/width_<w>/seeds_<first>/ with the curves,
the final weights (with all that is needed to go on) and a record of settings, versions and time.
"""


onstart:
    # what `make progress` weighs; imported here, since it loads pandas and is not needed to plan
    from bnstudy.files import write_json

    write_json(
        "logs/plan.json",
        {
            "started": time.time(),
            "blocks": [
                [*block, len(STUDY.block_seeds(block))] for block in STUDY.blocks()
            ],
        },
    )


rule train:
    """Train a block of seeds of one arm and width."""
    input:
        code=modules(*TRAINING_CODE),
        data="results/datasets/seeds_{start}.npz",
    output:
        curves="results/training/{arm}/width_{width}/seeds_{start}/curves.parquet",
        weights="results/training/{arm}/width_{width}/seeds_{start}/checkpoint.safetensors",
        record="results/training/{arm}/width_{width}/seeds_{start}/record.json",
    log:
        "logs/train/{arm}/width_{width}/seeds_{start}.log",
    benchmark:
        "results/benchmarks/train/{arm}/width_{width}/seeds_{start}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=120,
    params:
        seeds=lambda wildcards: STUDY.block_seeds(block_of(wildcards)),
        settings=lambda wildcards: STUDY.run_settings(wildcards.arm),
    script:
        "../scripts/train.py"
