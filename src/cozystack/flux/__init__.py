"""Stand-ins of Flux's controllers, over the same API."""
