"""Pages for the report: the claims and the tables of a scope as HTML.

Needs: results/<scope>claims.md, tables, figures. Makes: results/<scope>claims.html and
results/<scope>pages/<table>.html. The report itself is no rule: `snakemake --report
results/report.html` collects what the rules mark for it.
"""


rule claims_page:
    """The claims as a page, with their figures in it."""
    input:
        page="results/{scope}claims.md",
        figures=in_scope(
            "figures",
            lambda scope: [f"{figure}.svg" for figure in figures_of(scope)],
        ),
    output:
        page=report(
            "results/{scope}claims.html",
            caption="../report/claims.rst",
            category="Claims",
            labels=lambda wildcards: {
                "study": study_of(wildcards),
                "page": "The article's claims",
            },
        ),
    log:
        "logs/{scope}claims_page.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("claims_page.py"),
    script:
        "../scripts/claims_page.py"


rule table_page:
    """A table as a page."""
    input:
        table="results/{scope}tables/{table}.csv",
    output:
        page=report(
            "results/{scope}pages/{table}.html",
            caption="../report/table.rst",
            category="Tables",
            labels=lambda wildcards: {
                "study": study_of(wildcards),
                "table": TABLES[wildcards.table].title,
            },
        ),
    log:
        "logs/{scope}pages/{table}.log",
    wildcard_constraints:
        table="[a-z0-9_]+",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("table_page.py"),
        caption=lambda wildcards: list(TABLES[wildcards.table]),
    script:
        "../scripts/table_page.py"
