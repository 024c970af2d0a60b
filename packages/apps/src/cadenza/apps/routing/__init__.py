"""Which handlers an activity goes to, and in which order they run."""
