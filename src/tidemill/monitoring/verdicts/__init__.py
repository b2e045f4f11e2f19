"""What a measured window means: what is wrong in it, in words, with figures and causes."""
