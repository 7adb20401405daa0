"""What rows mean: which format they have, how sure that is, and what to ask where nobody can tell."""
