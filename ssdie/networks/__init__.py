"""The networks of SSDIE-Net.

- `generators`: MSFF, U-Net and patch generator. `layers`: attention and convolution.
- `discriminators`: PatchGAN and dark-channel network. `vgg`: perceptual features.
- `weights`: weight files. `export`: ONNX.
"""
