"""A GRPO trainer with tools by row and updates without waste. Knows nothing of EGPO."""
