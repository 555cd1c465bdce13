"""Face models of other people's layouts → the project's model file."""
