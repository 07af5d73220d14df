"""Where the weights of round 0 come from."""
