"""How a face becomes an image: camera, illumination, points; pictures of meshes."""
