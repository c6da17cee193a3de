"""Readers of sheets, one module per format; each opens a file as grids of cells, with bounded memory."""
