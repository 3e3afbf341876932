"""Photos to train and evaluate on.

- `photos`: find and read clear photos with depth and real dusty photos.
- `sample`: the sample that ships with the package: photographs and drawn scenes, with depth.
- `download`: download the registered real dusty photos, verified by SHA-256.
- `free`: photographs under free licences, downloaded on request, with their credits.
"""
