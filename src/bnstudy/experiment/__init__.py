"""What is trained, and how: networks, data, and a training job from its dataset to its files."""
