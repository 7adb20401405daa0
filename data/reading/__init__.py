"""From names to bytes to text: files, compressions, archives, encodings, the hub. What rows mean lives elsewhere."""
