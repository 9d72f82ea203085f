"""open_clip models: their names, loading, feeding and saving, and the canary that says they are what they were."""
