"""WeChat's door and voice."""
