"""Training: a block of seeds of one cell per job, many replicates side by side.

Needs: results/datasets, results/tuning for tuned cells. Makes: results/runs/<cell>/seeds_<first>/
with the curves, snapshots of the networks, the final state (with all that is needed to resume) and
a record of settings, versions and time. Every experiment's runs are made here, each cell once; tuned
ones are kept in results/kept as well, so that the same choice for another cell trains nothing.
"""


onstart:
    # What the commands run, progress, watch and ui go by. Imported here, since it loads pandas and
    # is not needed to plan.
    from bnstudy.files import write_json

    asked = SCOPES["extended" in workflow.dag_settings.targets]
    due = due_blocks()
    write_json(
        "logs/plan.json",
        {
            "started": time.time(),
            "scope": asked,
            "study": STUDY.model_dump(mode="json"),
            "blocks": [
                {
                    "place": block.place,
                    "models": len(PLAN.seeds(block)),
                    "cost": PLAN.cost(block),
                    "due": block.place in due,
                }
                for block in PLAN.blocks(asked)
            ],
        },
        digest=False,  # whoever looks may do so while it is written anew
    )
    if due:
        start_watching()
    # Its limit of 100 jobs a second makes Snakemake (9.27) look at all waiting jobs again a second
    # after each look, and each finished job starts one more such round: of 400 jobs of 0.3 s on two
    # cores these looks take 23 s, 9 s without; with a thousand jobs, a core.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


rule train:
    """Train a block of seeds of one cell, or continue a shorter one.

    Without `benchmark:`, which would look at each job every half second for its first 15 s (40 ms of
    a core each time); a block's record says how long it trained.
    """
    input:
        data=lambda wildcards: dataset_of(block_of(wildcards)),
        resume_from=resumed_files,
        choice=choice_of,
        twins=lambda wildcards: [
            f"results/runs/{twin.place}/record.json"
            for twin in PLAN.twins(block_of(wildcards))
        ],
    output:
        curves=f"results/runs/{BLOCK}/curves.parquet",
        snapshots=f"results/runs/{BLOCK}/snapshots.safetensors",
        checkpoint=f"results/runs/{BLOCK}/checkpoint.safetensors",
        record=f"results/runs/{BLOCK}/record.json",
    log:
        f"logs/train/{BLOCK}.log",
    # The longest first, so that all cores end together; whatever else can be done (0), before.
    priority: lambda wildcards: -1 / PLAN.cost(block_of(wildcards), through=True)
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        # PyTorch, and for each model its curves, its state and its data
        mem_mb=lambda wildcards: 1000
        + math.ceil(
            len(PLAN.seeds(block_of(wildcards)))
            * (2 + 1.5e-4 * (STUDY.dataset.train_size + STUDY.dataset.test_size))
        ),
        # minutes: half an hour, and six times what a core takes
        runtime=lambda wildcards: 30
        + math.ceil(6 * PLAN.cost(block_of(wildcards)) / 60),
        gpu=int(STUDY.training.device == "cuda"),
    params:
        code=training_code,
        seeds=lambda wildcards: PLAN.seeds(block_of(wildcards)),
        settings=lambda wildcards: PLAN.job_settings(block_of(wildcards).cell),
        snapshots=lambda wildcards: PLAN.snapshots(block_of(wildcards)),
    script:
        "../scripts/train.py"
