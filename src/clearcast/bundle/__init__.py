"""The format of a bundle: manifest, archive, signatures. It never imports torch."""
