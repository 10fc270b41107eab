"""Games that have a name, each as tables made from a few numbers."""
