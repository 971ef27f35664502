"""Training: a block of seeds of one arm and width in one job, many replicates side by side.

Needs: results/datasets. Makes: results/training/<arm>/width_<w>/seeds_<first>/ with the curves,
measures of the features, the final weights (with all that is needed to go on) and a record of settings, versions and time.
"""


onstart:
    # What `make progress`, `make watch` and `make ui` go by. Imported here, since it loads pandas and
    # is not needed to plan.
    from bnstudy.files import write_json

    write_json(
        "logs/plan.json",
        {
            "started": time.time(),
            "study": STUDY.model_dump(mode="json"),
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
        curves=f"results/training/{BLOCK}/curves.parquet",
        measures=f"results/training/{BLOCK}/measures.parquet",
        weights=f"results/training/{BLOCK}/checkpoint.safetensors",
        record=f"results/training/{BLOCK}/record.json",
    log:
        f"logs/train/{BLOCK}.log",
    benchmark:
        f"results/benchmarks/train/{BLOCK}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=lambda wildcards: training_megabytes(
            STUDY.block_seeds(block_of(wildcards))
        ),
        runtime=lambda wildcards: training_minutes(
            wildcards.width,
            STUDY.block_seeds(block_of(wildcards)),
            STUDY.run_settings(wildcards.arm),
        ),
        gpu=int(STUDY.training.device == "cuda"),
    params:
        seeds=lambda wildcards: STUDY.block_seeds(block_of(wildcards)),
        settings=lambda wildcards: STUDY.run_settings(wildcards.arm),
        measured=STUDY.measures.model_dump(),
    script:
        "../scripts/train.py"
