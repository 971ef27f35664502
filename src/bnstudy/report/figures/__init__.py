"""One file per figure: TITLE, CAPTION, TABLES and `draw(tables, study)`; none reads or writes."""
