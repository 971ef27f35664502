"""Claims, figures, paper and explorer from the published tables alone. Nothing is trained.

The rules are the study's, from its tables on; the tables before them are those in published/. So a
margin, a level or a figure may be changed, and seconds later it shows what that does.
"""

from snakemake.utils import min_version

min_version("9.10")


include: "workflow/rules/settings.smk"


configfile: workflow.source_path("config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/pages.smk"


from bnstudy.files import read_json, write_json

PUBLISHED = Path(os.path.relpath(ROOT / "published"))

# What the tables hold was measured with these on the curves of every epoch, which are not published.
measured_with = read_json(PUBLISHED / "settings.json")["analysis"]
for name in ("final_window", "thresholds"):
    if getattr(STUDY.analysis, name) != measured_with[name]:
        raise WorkflowError(
            f"analysis.{name} is not {measured_with[name]}, as published: another one needs the "
            "curves of every epoch; `make` makes them"
        )


localrules:
    all,
    published,


ruleorder: significance > effects > prediction > claims > published


# What was published of all experiments holds what was published of the default ones.
WIDEST = [scope for scope in SCOPES if (PUBLISHED / scope / "tables").exists()][-1]


rule all:
    """What is made from the tables of the widest scope that was published, and the tables."""
    default_target: True
    input:
        [
            file
            for file in study_artifacts(WIDEST)
            if not file.endswith("tables/curves.parquet")
        ],


rule published:
    """Take a table as it was published."""
    input:
        table=str(PUBLISHED / "{scope}tables" / "{table}"),
    output:
        table="results/{scope}tables/{table}",
    log:
        "logs/{scope}published/{table}.log",
    wildcard_constraints:
        table=r"[a-z0-9_]+\.(csv|parquet)",
    priority: 2  # all others wait for it
    conda:
        "environment.yml"
    threads: 1
    resources:
        mem_mb=100,
        runtime=5,
    params:
        code=code("published.py"),
    script:
        "workflow/scripts/published.py"


onstart:
    # What `bnstudy run` goes by: there is nothing to train.
    plan = {
        "started": time.time(),
        "study": STUDY.model_dump(mode="json"),
        "blocks": [],
    }
    write_json("logs/plan.json", plan, digest=False)


onsuccess:
    from bnstudy.commands.verify import changed_verdicts

    changed = changed_verdicts(Path("results"), PUBLISHED)
    for line in changed or ["No verdict differs from the published ones."]:
        logger.warning(line)
