"""How sure a run's figures are, and which decisions they allow: made from its tables alone."""
