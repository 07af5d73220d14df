"""From YAML to methods: read, compose, check, and estimate the cost."""
