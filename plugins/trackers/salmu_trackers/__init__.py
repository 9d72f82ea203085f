"""TensorBoard, Weights & Biases, MLflow and Trackio follow the runs of a study: `salmu run --tracker NAME`."""
