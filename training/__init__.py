"""How `models/demo.pt` was made: sentences, synthetic speech, a small network, its training and test."""
