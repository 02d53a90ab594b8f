"""API types: every kind that the project reads or writes, as msgspec structs, and the dialects around them."""
