"""FlowLine's surface."""
