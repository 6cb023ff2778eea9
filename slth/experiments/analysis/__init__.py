"""What studies share: errors of tickets, statistics of rows, growth laws, published accuracies."""
