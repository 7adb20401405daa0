"""What suits which kind of device: classes of hardware, and what a plan picks for each, with the reason. Pure."""
