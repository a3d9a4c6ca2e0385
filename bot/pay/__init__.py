"""WeChat Pay: what we ask the cashier and what it tells us."""
