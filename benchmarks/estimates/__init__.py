"""How near estimates of quality without labels come to what the labels told later."""
