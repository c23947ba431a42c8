"""What every training shares: the loop, run folders, ranks, stages and digests."""
