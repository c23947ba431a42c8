"""Drawing: noise, outlines, materials, textures, and objects built from layers of them."""
