"""Train, distil and export: the pipelines that make a bundle."""
