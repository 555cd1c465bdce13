"""How the open face model is made: `python -m third_party.open_face_model.build`."""
