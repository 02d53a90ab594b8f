"""One module a command; each holds one ``command``."""
