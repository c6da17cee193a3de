"""Basic modules: errors, images and their decoding, files, console, numbers, spreadsheets and schemas."""
