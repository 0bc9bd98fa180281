"""Creates the links of slots, and balances them."""
