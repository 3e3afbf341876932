"""Enhancement of photos and videos at their own size; importing this package does not import torch.

- `runtime`: load a network. `photo`: enhance one photo.
- `video`: enhance a video. `folder`: enhance files and folders.
"""
