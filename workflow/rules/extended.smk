"""The extended study: one setting varied at a time, wider networks, a longer horizon.

Needs: config `extended`, results/datasets, and for the horizon the blocks of the default study,
which it continues. Makes: results/extended/<variant>/<arm>/width_<w>/seeds_<first>/ and
results/tables/extended/.
"""


rule extend:
    """Train a block of seeds with one setting changed, or go on with a finished one."""
    input:
        code=modules(*TRAINING_CODE),
        data="results/datasets/seeds_{start}.npz",
        start=earlier_block,
    output:
        curves=f"results/extended/{{variant}}/{BLOCK}/curves.parquet",
        measures=f"results/extended/{{variant}}/{BLOCK}/measures.parquet",
        weights=f"results/extended/{{variant}}/{BLOCK}/checkpoint.safetensors",
        record=f"results/extended/{{variant}}/{BLOCK}/record.json",
    log:
        f"logs/extend/{{variant}}/{BLOCK}.log",
    benchmark:
        f"results/benchmarks/extend/{{variant}}/{BLOCK}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=600,
        gpu=int(STUDY.training.device == "cuda"),
    params:
        seeds=lambda wildcards: STUDY.extended_block_seeds(int(wildcards.start)),
        settings=lambda wildcards: STUDY.run_settings(
            wildcards.arm, VARIANTS[wildcards.variant]
        ),
        measured=STUDY.measures.model_dump(),
    script:
        "../scripts/train.py"


rule extended_curves:
    """Put the loss curves of the extended study into one tidy table."""
    input:
        code=modules("collect.py", "files.py"),
        blocks=extended_block_files("curves.parquet"),
    output:
        table="results/tables/extended/curves.parquet",
    log:
        "logs/extended_curves.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        columns={"variant": [block.variant for block in EXTENDED_BLOCKS]},
    script:
        "../scripts/rows.py"


rule extended_measures:
    """The same for features, gradients and effective weights."""
    input:
        code=modules("collect.py", "files.py"),
        blocks=extended_block_files("measures.parquet"),
    output:
        table="results/tables/extended/measures.parquet",
    log:
        "logs/extended_measures.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        columns={"variant": [block.variant for block in EXTENDED_BLOCKS]},
    script:
        "../scripts/rows.py"
