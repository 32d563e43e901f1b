"""What a bank says of images, as masks, overlays and scores."""
