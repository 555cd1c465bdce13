"""Pure solvers that fit a face to one crop; they know nothing of photos, corpora or networks."""
