"""A bundle: one folder with everything that is needed to inspect; without any pickle."""
