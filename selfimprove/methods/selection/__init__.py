"""Survey section 3: which of the data is worth training on."""
