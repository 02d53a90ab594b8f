"""What is measured on a real control plane: the operator, the embedded API server beside the real one, waiting in Flux."""
