"""Survey section 6: how good the refined model is on problems that no stage has seen."""
