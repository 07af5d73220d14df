"""Survey section 6: what becomes of the candidate of a round."""
