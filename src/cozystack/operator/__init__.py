"""The program `cozystack-operator`."""
