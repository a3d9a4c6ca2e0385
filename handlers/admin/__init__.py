"""What the merchant's staff may ask, in the same chat."""
