"""Fitting the networks of recipe ``clear``, on a sheet's pairs and on noise made anew at every step."""
