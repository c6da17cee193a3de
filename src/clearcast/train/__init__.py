"""Training: recipes, data sets, splits, run directories, and the Lightning modules that fit networks."""
