"""What the results of a run say about the paper's statements. Plain numpy: never imports torch."""
