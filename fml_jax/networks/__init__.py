"""Networks: crops to codes of the base level and of the final level."""
