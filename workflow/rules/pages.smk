"""Pages for the report: the claims and the tables as HTML.

Needs: results/claims.md, results/tables, results/figures. Makes: results/claims.html,
results/pages/<table>.html. The report itself is no rule: `snakemake --report results/report.html`
collects what the rules mark for it.
"""

TABLE_PAGES = [name for name in TABLES if not name.startswith("extended/")]
EXTENDED_TABLE_PAGES = [name for name in TABLES if name.startswith("extended/")]


rule claims_page:
    """The claims as a page, with their figures in it."""
    input:
        code=modules("pages.py", "files.py"),
        page="results/claims.md",
        figures=expand("results/figures/{figure}.svg", figure=FIGURES),
    output:
        page=report(
            "results/claims.html",
            caption="../report/claims.rst",
            category="Claims",
            labels={"page": "The article's five claims"},
        ),
    log:
        "logs/claims_page.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    script:
        "../scripts/claims_page.py"


rule table_page:
    """A table as a page."""
    input:
        code=modules("pages.py", "files.py"),
        table="results/tables/{table}.csv",
    output:
        page=report(
            "results/pages/{table}.html",
            caption="../report/table.rst",
            category="Tables",
            labels=lambda wildcards: {
                "study": study_of(wildcards.table, TABLE_PAGES),
                "table": TABLES[wildcards.table].title,
            },
        ),
    log:
        "logs/pages/{table}.log",
    wildcard_constraints:
        table="|".join(TABLES),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        caption=lambda wildcards: list(TABLES[wildcards.table]),
    script:
        "../scripts/table_page.py"
