"""Networks: from crops to the codes of the base level and of the final level."""
