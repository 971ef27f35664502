"""Pages that stand alone: Markdown with its figures, tables with numbers to be read."""

import numpy as np
import pandas as pd

from bnstudy.report.pages import ROWS, markdown_page, table_page


def test_a_markdown_page_carries_its_figures(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.svg").write_text("<svg/>")
    page = markdown_page(
        "# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n![x](figures/a.svg)", tmp_path
    )
    assert "<title>Title</title>" in page and "<td>1</td>" in page
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in page and "a.svg" not in page


def test_a_table_page_rounds_escapes_and_says_where_it_ends():
    table = pd.DataFrame({"x<y": ["a&b"] * (ROWS + 1), "n": 3, "r": [np.nan, *[1 / 3] * ROWS]})
    page = table_page(table, "T", "Says.")
    assert "x&lt;y" in page and "a&amp;b" in page and ">0.3333<" in page and "nan" not in page
    assert page.count("<tr>") == ROWS + 1 and f"first {ROWS} of {ROWS + 1} rows" in page
