"""Files written whole or not at all, what is hashed of them, and the shape of every record."""
