"""Survey section 6: the decision on the candidate of a round."""
