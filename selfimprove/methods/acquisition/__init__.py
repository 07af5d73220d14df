"""Survey section 2: where training data comes from."""
