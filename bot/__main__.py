"""`python -m bot …` is `tuanpu …`."""

from bot.cli import main

raise SystemExit(main())
