"""One attack on one checkpoint: what the attacker is handed, what comes of it, and how much of it leaks again."""
