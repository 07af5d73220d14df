"""Choose among the rows of a pool of the user's own, without a run: `selfimprove select`."""
