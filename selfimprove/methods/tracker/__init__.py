"""Trackers: where a run is shown."""
