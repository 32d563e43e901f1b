"""Images and masks in files, as most people have them."""
