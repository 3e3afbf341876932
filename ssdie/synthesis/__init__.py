"""Synthetic dust.

- `dust`: atmospheric scattering, camera noise and JPEG. `recipes`: parameters of the dust and how they are drawn.
- `depth`: depth estimation and the conditional GAN for it. `folder`: add dust to a folder of photos.
"""
