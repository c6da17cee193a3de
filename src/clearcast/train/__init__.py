"""Recipes, and the Lightning modules that fit networks by them."""
