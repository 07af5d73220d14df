"""Reading finished runs: tables, plots, comparisons, verification."""
