"""Models written for the program library: small editions of architectures that matter, random weights, no data."""
