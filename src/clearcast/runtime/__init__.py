"""Reading and running a bundle; never imports torch."""
