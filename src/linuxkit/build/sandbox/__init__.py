"""How containers are confined: what is allowed, and the forms in which a guest applies that."""
