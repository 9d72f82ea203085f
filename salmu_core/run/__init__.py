"""One run of a method: its data, what it is handed, what it costs, and whether its model is valid."""
