"""Readers of sheets, one module a format: each gives the grids of cells that a file holds, within bounds of memory."""
