"""Every metric of one checkpoint: embeddings, values, and tables by row."""
