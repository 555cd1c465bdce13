"""Objects in front of synthetic faces: glasses, masks, hats, hands, microphones, blobs."""
