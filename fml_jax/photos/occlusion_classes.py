"""The classes of a crop's places: what labels of renders hold, and networks predict."""

BACKGROUND = 0  # neither: surroundings, clothes, ears, neck, hair beside the face, objects beside the face
FACE = 1  # the face model's region "face", beard and stubble included, and the mouth's inside
OCCLUDER = 2  # an object that hides more than half of what would be FACE
