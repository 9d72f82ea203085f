"""Plans: studies as lines for a scheduler."""
