"""Networks of recipe ``clear``: a global encoder on a thumbnail, and a detail U-Net at full resolution."""
