"""What a plugin declares and receives: specs, configs, contexts, steps, results, and the names of the layout."""
