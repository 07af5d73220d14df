"""Survey section 5: how the model is used at inference time, with unchanged weights."""
