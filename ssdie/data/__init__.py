"""Photos to train and evaluate on.

- `photos`: find and read clear photos with depth and real dusty photos.
- `sample`: the sample that ships with the package.
- `download`: fetch the registered photos, verified by SHA-256.
"""
