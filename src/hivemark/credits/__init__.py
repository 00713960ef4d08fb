"""Pure rules of the credit book: one implementation of every posting, integers only."""
