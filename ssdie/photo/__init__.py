"""Reading and writing photo files as arrays; no torch.

- `files`: open, decode, encode and save photos.
"""
