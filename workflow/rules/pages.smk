"""Pages: the claims for the report, and the explorer.

Needs: results/<scope>claims.md, tables, figures. Makes: results/<scope>claims.html and
results/<scope>explorer.html. The report itself is no rule: `snakemake --report results/report.html`
collects what the rules mark for it.
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


rule explorer:
    """Claims, curves and tables as one page that opens without a network."""
    input:
        template=os.path.relpath(ROOT / "src/bnstudy/report/explorer.html"),
        tables=in_scope(
            "tables",
            lambda scope: [
                t for t in tables_of(scope) if Path(t).stem in TABLES.keys() - LONG
            ],
        ),
        curves="results/{scope}tables/curves_thinned.parquet",
    output:
        page="results/{scope}explorer.html",
    log:
        "logs/{scope}explorer.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("explorer.py"),
        looks=[members.declared("arms", name) for name in members.names("arms")],
        study=SETTINGS,
    script:
        "../scripts/explorer.py"
