"""Survey section 4: turn data into new weights."""
