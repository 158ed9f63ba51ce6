"""Reports of a comparison: for a terminal, as a page, and two comparisons side by side."""
