"""Survey sections 6 and 7: alarms that watch for known failures in every round."""
