"""What the paper asks of embeddings: pure functions on arrays, for a run or for a notebook."""
