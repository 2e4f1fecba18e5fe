"""One module a topic: each turns the changes of its topic into steps, without order."""
