import pytest

from ssdie.training.config import TrainConfig
from ssdie.training.stages import train


@pytest.fixture(scope="session")
def dark_channel_net(tmp_path_factory, photo_folder):
    """Checkpoint of a short dark-channel stage."""
    run = tmp_path_factory.mktemp("dark-channel")
    list(train(TrainConfig("dark-channel", run, photo_folder, steps=1, batch=2, size=32, precision="fp32")))
    return run / "checkpoint.pt"
