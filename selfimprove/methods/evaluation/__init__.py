"""Survey section 6: evaluation of the refined model on problems that no stage has seen."""
