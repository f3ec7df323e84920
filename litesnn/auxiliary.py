"""The auxiliary head of retraining: a second classifier on an inner cell, dropped afterwards and never counted."""

from torch import Tensor, nn

from litesnn.neuron import lif_of_sum

_HIDDEN = 128
_GRID = 2


class AuxiliaryHead(nn.Module):
    """Pools a cell's spikes to a 2 x 2 grid, mixes channels, fires, classifies; full precision.

    DARTS' head with spiking neurons in place of ReLU; its second, 768 wide convolution is left out.

    Args:
        channels: channels of the cell's output.
        classes: K.
        neuron: (tau, V_th, b) of the LIF neurons.
    """

    def __init__(self, channels: int, classes: int, neuron: tuple[float, float, float]) -> None:
        super().__init__()
        self.neuron = neuron
        self.pool = nn.AdaptiveAvgPool2d(_GRID)
        self.mix = nn.Conv2d(channels, _HIDDEN, 1, bias=False)
        self.norm = nn.BatchNorm2d(_HIDDEN)
        self.classifier = nn.Linear(_HIDDEN * _GRID * _GRID, classes)

    def forward(self, spikes: Tensor, timesteps: int) -> Tensor:
        """``[T*B, C, H, W]`` to logits ``[T, B, K]``."""
        current = self.norm(self.mix(self.pool(spikes)))
        hidden = lif_of_sum([current], [None], timesteps, self.neuron)
        return self.classifier(hidden.flatten(1)).unflatten(0, (timesteps, -1))
