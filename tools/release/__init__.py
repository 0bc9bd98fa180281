"""What the workflows need to publish a release: its version, and what its files contain."""
