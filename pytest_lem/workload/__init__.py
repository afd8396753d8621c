"""What the engine is asked: models and prompts."""
