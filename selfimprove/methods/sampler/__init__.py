"""Survey section 3.3: which problems or rows each training step uses, chosen while the model learns."""
