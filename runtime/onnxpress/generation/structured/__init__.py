"""Text held to a form: JSON schemas, regular expressions and grammars as limits on the next token."""
