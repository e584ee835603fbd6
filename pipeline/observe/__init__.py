"""What a sample of each stream says about the config: rules that can count nothing, and better places for them."""
