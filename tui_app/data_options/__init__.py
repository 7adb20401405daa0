"""Options that several commands of `finetui data` share, and what they stand for."""
