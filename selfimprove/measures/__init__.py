"""Pure numbers: intervals, tests, the reliability of judges, and what samples say of a model."""
