"""What one person may be told: what a model knew of them, what it knows now, and what that proves."""
