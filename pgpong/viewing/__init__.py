"""What a person sees of a training or an agent."""
