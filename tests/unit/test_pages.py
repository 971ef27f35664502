"""The page of the claims stands alone."""

from bnstudy.report.pages import markdown_page


def test_a_markdown_page_carries_its_figures(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.svg").write_text("<svg/>")
    page = markdown_page(
        "# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n![x](figures/a.svg)", tmp_path
    )
    assert "<title>Title</title>" in page and "<td>1</td>" in page
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in page and "a.svg" not in page
