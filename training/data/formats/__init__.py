"""Readers of annotation formats, one module each. All give the images, tags and objects of `training.data.tagged`."""
