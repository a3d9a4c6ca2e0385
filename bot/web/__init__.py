"""Pages: the chat's annex."""
