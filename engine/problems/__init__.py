"""What is to be recovered: ground truths and their measurements."""
