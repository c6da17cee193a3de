"""The figures of the page: ``stages`` draws what a stage did, ``evidence`` how sure it is; ``style`` is shared."""
