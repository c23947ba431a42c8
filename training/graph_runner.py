"""The bundle's graphs, called in this process: how training uses exported networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.bundle import Bundle
from models.image import read_image
from models.letterbox import Letterbox
from models.peaks import find_peaks
from models.prompts import DecodedBatch, PromptBatch
from models.proposals import ProposedPicture, propose, run_proposing
from training.data.tagged import TaggedImage

Arrays = Mapping[str, npt.NDArray[np.generic]]


class GraphRunner:
    """One onnxruntime session for each graph of a bundle."""

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.bundle = bundle
        self._sessions = {
            name: onnxruntime.InferenceSession(
                bundle.path(name), options, providers=onnxruntime.get_available_providers()
            )
            for name in bundle.graphs
        }

    def run(self, graph: str, inputs: Arrays, outputs: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """Answers of one graph in the order of ``outputs``."""
        answers: list[npt.NDArray[np.float32]] = self._sessions[graph].run(list(outputs), dict(inputs))
        return answers

    def letterboxed(self, image: TaggedImage) -> tuple[Letterbox, npt.NDArray[np.uint8]]:
        """The geometry of a picture and the graphs' input [1,S,S,3]."""
        spec = self.bundle.graphs["cam"]
        letterbox = Letterbox(image.size_hw, spec.side_px)
        return letterbox, letterbox.apply(read_image(image.path), spec.fill_rgb)[None]

    def propose(
        self, image: TaggedImage, class_indices: Sequence[int]
    ) -> tuple[ProposedPicture, npt.NDArray[np.float32]]:
        """Proposals of one picture for the given classes, and its tag scores [C]."""
        letterbox, square = self.letterboxed(image)
        tag_scores, maps = self.run("cam", {"image": square}, ("scores", "maps"))
        (embedding,) = self.run("sam_encoder", {"image": square}, ("embedding",))
        settings = self.bundle.prompts
        peaks = find_peaks(maps[0], class_indices, letterbox.side_px, letterbox.valid_hw, settings)
        valid_hw = np.array(letterbox.valid_hw, np.float32)

        def decode(batch: PromptBatch) -> DecodedBatch:
            inputs = {"embedding": embedding, "coords": batch.coords, "labels": batch.labels, "valid_hw": valid_hw}
            return DecodedBatch(*self.run("sam_decoder", inputs, ("boxes", "iou", "stability")))

        proposing = propose(peaks, letterbox.valid_hw, settings)
        return run_proposing(proposing, decode, settings.prompt_buckets["onnxruntime"]), tag_scores[0]
