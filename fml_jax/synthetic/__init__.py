"""Synthetic faces: renders of the face model whose codes are known."""
