"""Pure solvers that networks and reconstruction share."""
