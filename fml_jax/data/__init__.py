"""Photos to examples: files, faces in them, landmarks, crops and training corpora."""
