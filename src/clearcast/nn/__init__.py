"""Networks in PyTorch, without data and training, and their weights files."""
