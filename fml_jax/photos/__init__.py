"""Photos to crops: reading, face detection, landmarks, crops."""
