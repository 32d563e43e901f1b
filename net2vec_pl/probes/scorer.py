"""What a bank reads of a layer and says of it: in the fit, of new images and in exports."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from net2vec_pl.functional import DensePairScores, Fired, PairScores
from net2vec_pl.functional.inputs import INPUTS, inverse_scale


@dataclass(frozen=True)
class Scorer:
    """Scores pairs of images and concepts on the activation grid.

    Args:
        input: What banks read, as ``protocol.input`` names it: ``bits``, ``raw`` or ``root``.
        threshold: T_k of each filter; matters to bits only.
        scale: What activations are divided by; matters to the others only.
    """

    input: str
    threshold: Float[Tensor, "K"]
    scale: Float[Tensor, "K"] | None = None

    def features(self, activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N K h w"]:
        """Return what banks read, before it is scaled: bits as 0 and 1, activations or roots."""
        if self.input == "bits":
            return (activation > self.threshold[:, None, None]).float()
        return INPUTS[self.input](activation)

    def pairs(
        self,
        read: Fired | Float[Tensor, "N K h w"],
        image: Int64[Tensor, "P"],
        concept: Int64[Tensor, "P"],
    ) -> PairScores | DensePairScores:
        """Return what scores some pairs.

        Args:
            read: The activations of N images; or their bits, where those are known.
            image: The image of each pair, in [0, N), rising.
            concept: The row of each pair in a bank.
        """
        if isinstance(read, Fired):
            return PairScores(read, image, concept)
        if self.input == "bits":
            return PairScores(Fired.of(read > self.threshold[:, None, None]), image, concept)
        assert self.scale is not None, "banks on activations are scaled"
        scaled = inverse_scale(self.scale)[:, None, None] * INPUTS[self.input](read)
        return DensePairScores(scaled, image, concept)
