"""The program `cozystack`: a whole platform on one machine."""
