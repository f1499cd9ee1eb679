"""L5: package folders and how an image is made of them."""
