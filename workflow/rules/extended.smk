"""The extended study: one setting varied at a time, wider networks, a longer horizon.

Needs: config `extended`, results/datasets, and for the horizon the blocks of the default study,
which it continues; results/tables/runs.csv. Makes: results/extended/<variant>/<arm>/width_<w>/seeds_<first>/ and
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
        mem_mb=lambda wildcards: training_megabytes(
            STUDY.extended_block_seeds(int(wildcards.start))
        ),
        runtime=lambda wildcards: training_minutes(
            wildcards.width,
            STUDY.extended_block_seeds(int(wildcards.start)),
            STUDY.run_settings(wildcards.arm, VARIANTS[wildcards.variant]),
        ),
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


rule extended_runs:
    """Measure every run of the extended study; what its settings are stands in front."""
    input:
        code=modules("collect.py", "extended.py", "measures.py", "files.py"),
        curves=extended_block_files("curves.parquet"),
        measures=extended_block_files("measures.parquet"),
        records=extended_block_files("record.json"),
    output:
        table="results/tables/extended/runs.csv",
    log:
        "logs/extended_runs.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        variants=[block.variant for block in EXTENDED_BLOCKS],
        kinds=[VARIANTS[block.variant].kind for block in EXTENDED_BLOCKS],
        final_window=STUDY.analysis.final_window,
        thresholds=STUDY.analysis.thresholds,
    script:
        "../scripts/extended_runs.py"


rule effects:
    """Estimate BN's effect a setting, and along the long horizon."""
    input:
        code=modules("extended.py", "hypotheses.py", "statistics.py", "measures.py"),
        runs="results/tables/extended/runs.csv",
        default="results/tables/runs.csv",
        curves="results/tables/extended/curves.parquet",
    output:
        effects="results/tables/extended/effects.csv",
        horizon="results/tables/extended/horizon.csv",
    log:
        "logs/effects.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        analysis=STUDY.analysis.model_dump(),
        horizon=f"epochs_{STUDY.extended.horizon.epochs:g}",
    script:
        "../scripts/effects.py"
