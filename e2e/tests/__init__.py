"""End to end: the operator, our packages and Flux on a real control plane."""
