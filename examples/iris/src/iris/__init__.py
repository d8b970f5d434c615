"""The model of this project, the contract with its callers, and the server between the two."""
