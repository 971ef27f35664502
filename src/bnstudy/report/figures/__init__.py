"""One module a figure, each with `draw(tables, study) -> Figure`; no module here reads or writes.

`tables` holds the figure's tables by name; the names a figure needs stand in
workflow/rules/figures.smk. What figures share is in `style`.
"""
