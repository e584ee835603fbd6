"""Networks: their blocks, the GELAN graphs, the auxiliary branch of training, and the sizes by name."""
