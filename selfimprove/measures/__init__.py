"""Pure numbers: intervals, tests, the reliability of judges, and the diagnosis of a model from samples."""
