"""What the compact SAM is shown: photographs with masks, cropped and changed, and what is pasted on them."""
