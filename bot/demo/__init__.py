"""The demo shop: one believable catalogue that `tuanpu demo` and `seed --demo` load."""
