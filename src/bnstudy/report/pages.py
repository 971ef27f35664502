"""The claims as a page of the report: HTML that stands alone, from Markdown."""

import base64
import html
import re
from pathlib import Path

from markdown_it import MarkdownIt

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 62em; margin: 1.5em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: 0.25em 0.7em; border-bottom: 1px solid #ddd; text-align: left;
  vertical-align: top; }
blockquote { margin: 0; padding-left: 1em; border-left: 3px solid #bbb; color: #555; }
img { max-width: 100%; }
"""


def markdown_page(markdown: str, folder: Path) -> str:
    """A Markdown text as a page; its SVG images, relative to `folder`, are put into it."""
    body = MarkdownIt("commonmark").enable("table").render(markdown)

    def inlined(found: re.Match[str]) -> str:
        data = base64.b64encode((folder / found[1]).read_bytes()).decode()
        return f'src="data:image/svg+xml;base64,{data}"'

    title = re.search("^# (.*)", markdown, re.MULTILINE)
    return _page(title[1] if title else "", re.sub(r'src="([^"]+\.svg)"', inlined, body))


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )
