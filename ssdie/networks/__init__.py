"""The networks of SSDIE-Net.

- `layers`: attention, context pyramid, convolution. `generators`: MSFF, U-Net and patch generator.
- `discriminators`: PatchGAN and dark-channel network. `vgg`: perceptual features.
- `weights`: weight files. `export`: ONNX files.
"""
