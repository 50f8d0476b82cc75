"""From PyTorch modules to memory programs."""
