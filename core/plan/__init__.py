"""What a study is made of: trials and calls, what is owed next, and what it will cost. Pure."""
