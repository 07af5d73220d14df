"""The source of the weights of round 0."""
