"""Enhancement of photos and videos at their own size; importing this package does not import torch.

- `runtime`: load a network. `correction`: apply its affine colour maps. `tensors`: the same with torch.
- `strength`: how much of the correction is applied, given the dust score.
- `photo`: enhance one photo. `result`: enhanced photo files with their metadata.
- `video`: enhance a video. `smoothing`: corrections smoothed in time. `planes`: affine maps on YUV planes.
- `folder`: enhance files and folders. `batch`: which files are left to do. `plan`: a dry run. `worker`: one task.
"""
