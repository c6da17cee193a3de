"""The inspection station: a web page and a REST API before a bundle, with a log of every verdict, and without torch."""
