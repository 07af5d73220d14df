"""Tasks: problems in splits, the rule that marks an answer, and the prompts of each role."""
