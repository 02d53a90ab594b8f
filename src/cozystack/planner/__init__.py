"""The pure core: what the objects in view mean, and what should exist because of them."""
