"""What is said in a sound, and when: the tokens that tell of speech, rules, segments, words. Knows no graph."""
