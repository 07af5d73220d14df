"""Survey section 4: data into new weights."""
