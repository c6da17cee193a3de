"""The base that everything stands on: types, errors, image decoding and encoding, files, console output."""
