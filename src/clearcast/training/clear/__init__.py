"""Training of recipe ``clear``: denoiser, classifier and student, on data made during training."""
