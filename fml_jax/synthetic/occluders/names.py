"""The names of the kinds of occluders, in a file that imports nothing, so that `--help` is quick."""

KINDS = ("masks", "glasses", "hats", "hands", "microphones", "hair", "blobs")
UNOCCLUDED = 0.45  # share of faces without any
