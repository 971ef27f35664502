"""Pages for the report: HTML that stands alone, from Markdown and from tables."""

import base64
import html
import re
from pathlib import Path
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 62em; margin: 1.5em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: 0.25em 0.7em; border-bottom: 1px solid #ddd; text-align: left;
  vertical-align: top; }
thead th { position: sticky; top: 0; background: #fff; border-bottom: 2px solid #888; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
blockquote { margin: 0; padding-left: 1em; border-left: 3px solid #bbb; color: #555; }
img { max-width: 100%; }
"""
ROWS = 1000  # of a table that are shown


def markdown_page(markdown: str, folder: Path) -> str:
    """A Markdown text as a page; its SVG images, relative to `folder`, are put into it."""
    body = MarkdownIt("commonmark").enable("table").render(markdown)

    def inlined(found: re.Match[str]) -> str:
        data = base64.b64encode((folder / found[1]).read_bytes()).decode()
        return f'src="data:image/svg+xml;base64,{data}"'

    title = re.search("^# (.*)", markdown, re.MULTILINE)
    return _page(title[1] if title else "", re.sub(r'src="([^"]+\.svg)"', inlined, body))


def table_page(table: pd.DataFrame, title: str, text: str) -> str:
    """A table as a page: numbers to four digits, at most ROWS rows."""
    shown = table.head(ROWS)
    rest = f" The first {ROWS} of {len(table)} rows." if len(table) > ROWS else ""
    head = "".join(f"<th>{html.escape(str(column))}</th>" for column in shown)
    rows = ("".join(map(_cell, row)) for row in shown.itertuples(index=False))
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return _page(
        title,
        f"<h1>{html.escape(title)}</h1>\n<p>{html.escape(text + rest)}</p>\n"
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>",
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td class="number">{"" if pd.isna(value) else f"{value:.4g}"}</td>'
    number = ' class="number"' if isinstance(value, int) and not isinstance(value, bool) else ""
    return f"<td{number}>{html.escape(str(value))}</td>"


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )
