"""Survey section 4.3.2: the signal that says which rollout is better."""
