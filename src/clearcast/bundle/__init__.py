"""Bundles: training, distillation, export, evaluation and tuning; a bundle contains all that inspection needs."""
