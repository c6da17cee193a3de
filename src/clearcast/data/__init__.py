"""From a sheet to what networks are fed: sheet, frames, split, images in memory."""
