"""Training corpora: photos to examples, shards and batches."""
