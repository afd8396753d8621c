"""A Ray cluster: the machines in it, what each can measure, and how to reach them."""
