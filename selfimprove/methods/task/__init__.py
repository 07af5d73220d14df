"""Problems in splits, the rule that marks an answer, and the words for each role."""
