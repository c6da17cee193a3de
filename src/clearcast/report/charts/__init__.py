"""Charts of the page: ``stages`` draws the results of a stage, ``evidence`` their uncertainty; ``style`` is shared."""
