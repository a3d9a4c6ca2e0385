"""How the shop hears and speaks: doors, the desk, the clock, the courier, pages and payments."""
