"""One module per migration; each names its predecessor."""
