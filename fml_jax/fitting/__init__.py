"""Pure solvers that fit a face to one crop; independent of photos, corpora and networks."""
