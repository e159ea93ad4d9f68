"""A page to look at the features of a sparse autoencoder with, and to write down what they are (extra `explore`)."""
