"""Tensor operations that networks, losses and synthesis share.

- `filters`: box, Gaussian and guided filter, local affine fit. `priors`: dark channel, airlight, transmission, Retinex.
- `color`: luminance and colour statistics. `affine`: affine colour maps of an enhancement.
- `tone`: post-processing of veil and levels. `depth_maps`: depth files. `images`: photos to and from tensors.
"""
