"""The one training loop, for methods and for reference pairs: objective, order of rows, rate and place."""
