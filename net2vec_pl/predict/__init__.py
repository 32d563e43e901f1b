"""What a bank says of photographs, as masks, overlays and scores."""
