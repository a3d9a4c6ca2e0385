"""Weibo's door and voice."""
