from __future__ import annotations

import numpy as np

from service.inference.stage_results import GraphInputs


def test_a_square_that_all_graphs_share_counts_once() -> None:
    square_bhwc_u8 = np.zeros((1, 64, 64, 3), np.uint8)
    assert GraphInputs(square_bhwc_u8, square_bhwc_u8, (64, 64)).nbytes == square_bhwc_u8.nbytes
    assert GraphInputs(square_bhwc_u8, square_bhwc_u8.copy(), (64, 64)).nbytes == 2 * square_bhwc_u8.nbytes
