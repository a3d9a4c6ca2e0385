"""A chat on this machine: the fake platform, the fake cashier and the driver behind the simulator page."""
