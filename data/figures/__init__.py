"""What rows are like, in numbers."""
