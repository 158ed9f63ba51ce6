"""What models with a CTC head answer, a row of logits for each moment of a sound, made tokens: the best of each moment,
or the best rows of tokens by beams, with words that are known and an n-gram model. Knows no model and no tokenizer."""
